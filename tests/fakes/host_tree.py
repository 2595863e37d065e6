"""A /proc and a /sys of our own making, in the kernel's documented formats, for cards that no test has."""

from pathlib import Path

NO_ERRORS = dict.fromkeys(
    (
        "symbol_error",
        "link_error_recovery",
        "link_downed",
        "port_rcv_errors",
        "port_rcv_remote_physical_errors",
        "port_xmit_discards",
        "local_link_integrity_errors",
        "excessive_buffer_overrun_errors",
        "port_xmit_wait",
        "VL15_dropped",
    ),
    0,
)


class HostTree:
    """A machine as files under a root; whatever is called again is written anew."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stat()
        self.vmstat()

    def write(self, path: str, text: str) -> Path:
        """Write one file, with the folders above it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def pressure(self, resource: str, some: int | None, full: int | None) -> None:
        """Tell for how many microseconds tasks waited."""
        lines = [
            f"{share} avg10=1.25 avg60=0.53 avg300=0.41 total={total}\n"
            for share, total in (("some", some), ("full", full))
            if total is not None
        ]
        self.write(f"proc/pressure/{resource}", "".join(lines))

    def stat(self, steal: int = 0) -> None:
        """Tell how processors spent their time, in ticks of 10 ms."""
        line = f"75327 13 20942 202243 1202 0 477 {steal} 0 0"
        self.write("proc/stat", f"cpu  {line}\ncpu0 {line}\nintr 4711 0 9\nctxt 99\nbtime 1796000000\n")

    def vmstat(self, oom_kills: int | None = 0) -> None:
        """Tell of memory; kernels before 4.13 do not count their kills."""
        kills = "" if oom_kills is None else f"oom_kill {oom_kills}\n"
        filler = "".join(f"counter_{number} {number}\n" for number in range(180))
        self.write(
            "proc/vmstat", f"nr_free_pages 123456\n{filler}drop_slab 0\n{kills}unevictable_pgs_culled 0\n"
        )

    def policy(self, number: int, kilohertz: object) -> None:
        """Tell how fast a processor runs."""
        self.write(f"sys/devices/system/cpu/cpufreq/policy{number}/scaling_cur_freq", f"{kilohertz}\n")

    def interface(
        self, name: str, *, state: str = "up", flags: str = "0x1003", speed: object = 100000, **counts: int
    ) -> None:
        """Add a network interface with hardware behind it."""
        base = f"sys/class/net/{name}"
        self.virtual_interface(name, state=state, flags=flags)
        (self.root / base / "device").mkdir(exist_ok=True)
        self.write(f"{base}/speed", f"{speed}\n")
        self.write(f"{base}/carrier_changes", f"{counts.pop('carrier_changes', 2)}\n")
        told = dict.fromkeys(("rx_errors", "tx_errors", "rx_dropped", "tx_dropped"), 0) | counts
        for what, count in told.items():
            self.write(f"{base}/statistics/{what}", f"{count}\n")

    def virtual_interface(self, name: str, *, state: str = "up", flags: str = "0x1003") -> None:
        """Add one that is only software."""
        self.write(f"sys/class/net/{name}/operstate", f"{state}\n")
        self.write(f"sys/class/net/{name}/flags", f"{flags}\n")

    def port(
        self,
        device: str,
        port: int = 1,
        *,
        state: str = "4: ACTIVE",
        physical: str = "5: LinkUp",
        rate: str = "400 Gb/sec (4X NDR)",
        hardware: dict[str, int] | None = None,
        **errors: int,
    ) -> None:
        """Add a port of an InfiniBand card; `hardware` are the counters of NVIDIA's."""
        base = f"sys/class/infiniband/{device}/ports/{port}"
        for file, line in (("state", state), ("phys_state", physical), ("rate", rate)):
            self.write(f"{base}/{file}", f"{line}\n")
        for name, count in (NO_ERRORS | errors).items():
            self.write(f"{base}/counters/{name}", f"{count}\n")
        for name, count in (hardware or {}).items():
            self.write(f"{base}/hw_counters/{name}", f"{count}\n")

    def pci(
        self,
        name: str,
        *,
        width: object = 16,
        speed: str = "32.0 GT/s PCIe",
        most: tuple[object, str] = (16, "32.0 GT/s PCIe"),
        slot: tuple[object, str] = (16, "32.0 GT/s PCIe"),
        kind: str = "0x030200",
    ) -> Path:
        """Add a device below a port, which is the slot that it sits in."""
        port = f"sys/devices/pci{name[:7]}/{name[:5]}00:01.0"
        self.write(f"{port}/max_link_width", f"{slot[0]}\n")
        self.write(f"{port}/max_link_speed", f"{slot[1]}\n")
        told = {"current_link_width": width, "current_link_speed": speed, "class": kind}
        told |= {"max_link_width": most[0], "max_link_speed": most[1]}
        for file, value in told.items():
            self.write(f"{port}/{name}/{file}", f"{value}\n")
        link = self.root / "sys/bus/pci/devices" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(self.root / port / name)
        return self.root / port / name
