"""What the guests of a QEMU lab boot from: an emulator, a kernel, a root file system.

`prepare.prepare` makes all three, once; `initrd` makes what each guest has of its own.
"""
