"""A /proc of our own making, for families that no test can start."""

from pathlib import Path

TABLE = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


class ProcTree:
    """Processes as files; sockets as lines of `net/tcp` and links of `fd`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tables: dict[str, str] = {}
        self.network("self")

    def process(
        self,
        pid: int,
        parent: int = 1,
        *,
        session: int = 7,
        name: str = "python3",
        argv: str = "python3 server.py",
        cgroup: str = "0::/user.slice/session-1.scope",
        uid: int = 1000,
        sockets: tuple[int, ...] = (),
        network: str = "self",
        start: int = 1000,
        children: str | None = None,
        hidden: bool = False,
    ) -> None:
        """Add one; `sockets` are inodes that it holds, which nobody sees if it is `hidden`."""
        folder = self.root / str(pid)
        folder.mkdir(parents=True)
        fields = ["S", str(parent), str(pid), str(session), *["0"] * 15, str(start), "0", "0"]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
        (folder / "status").write_text(f"Name:\t{name}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        (folder / "cmdline").write_text(argv.replace(" ", "\0") + "\0")
        (folder / "cgroup").write_text(cgroup + "\n")
        (folder / "net").symlink_to(self.root / f"net-{network}")
        if hidden:
            return
        (folder / "fd").mkdir()
        (folder / "fd" / "0").symlink_to("/dev/null")
        for number, inode in enumerate(sockets, 3):
            (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
        if children is not None:
            (folder / "task" / str(pid)).mkdir(parents=True)
            (folder / "task" / str(pid) / "children").write_text(children)

    def network(self, name: str) -> None:
        """Make a network namespace; `self` is ours."""
        (self.root / f"net-{name}").mkdir(parents=True)
        (self.root / f"net-{name}" / "tcp").write_text(TABLE)
        if name == "self":
            (self.root / "self").mkdir()
            (self.root / "self" / "net").symlink_to(self.root / "net-self")

    def listen(
        self, inode: int, port: int, *, address: str = "0100007F", uid: int = 1000, network: str = "self"
    ) -> None:
        """Add a listening socket to a namespace."""
        with (self.root / f"net-{network}" / "tcp").open("a") as file:
            file.write(f"   0: {address}:{port:04X} 00000000:0000 0A 0:0 00:0 0 {uid} 0 {inode} 1\n")

    def hang_up(self, network: str = "self") -> None:
        """Close every socket of a namespace."""
        (self.root / f"net-{network}" / "tcp").write_text(TABLE)
