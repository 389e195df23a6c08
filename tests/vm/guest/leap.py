"""Asks the kernel for a leap second at the end of the day (adjtimex(2), STA_INS)."""

import ctypes


class Timex(ctypes.Structure):
    _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
                ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_byte * 200)]


ADJ_STATUS, STA_INS = 0x10, 0x10
print("told leap second asked for, clock state", ctypes.CDLL(None).adjtimex(ctypes.byref(Timex(modes=ADJ_STATUS, status=STA_INS))))
