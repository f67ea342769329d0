package rpi

// FromRTC and ToRTC convert the kernel's form of a time.
var (
	FromRTC = fromRTC
	ToRTC   = toRTC
)
