"""Verilated designs behind C++ programs: volume, activity, a board on a serial port."""
