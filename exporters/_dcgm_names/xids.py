"""What an Xid means, in a few words of our own: the label `err_msg`, which alerts quote."""

NONE = "No Error"
"""Of 0, as dcgm-exporter has it."""

WORDS = {
    13: "graphics engine exception, mostly of the application",
    31: "memory page fault, mostly of the application",
    43: "a channel was reset after a fault of the application",
    45: "work was taken off the GPU, as a consequence of another error",
    48: "uncorrectable memory error",
    63: "a memory row is remapped or a page retired",
    64: "a memory row could not be remapped",
    74: "NVLink error",
    79: "fell off the bus",
    92: "very many corrected memory errors",
    94: "contained memory error: its application ends",
    95: "uncontained memory error: reset the GPU",
    109: "a context switch timed out",
    119: "the GPU's system processor does not answer",
    120: "error of the GPU's system processor",
    145: "NVLink error, mostly a consequence of another GPU's",
    149: "NVLink error, link down",
    154: "what is recommended for recovery has changed",
}


def words_of(xid: int) -> str:
    """Say what an Xid means."""
    return WORDS.get(xid, f"Xid {xid}, see the driver's list of Xids") if xid else NONE
