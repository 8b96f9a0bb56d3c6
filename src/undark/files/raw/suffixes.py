"""Suffixes of RAW photos."""

_SUFFIXES = """
    .3fr .arw .bay .cap .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .k25 .kdc .mdc .mef .mos .mrw
    .nef .nrw .orf .pef .ptx .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f
"""
RAW_SUFFIXES = frozenset(_SUFFIXES.split())
"""Lower case, with their dot."""
