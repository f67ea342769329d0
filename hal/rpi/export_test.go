package rpi

// StrictGPIOD and CheckAudio below a root folder of a test.
var (
	StrictGPIODAt = strictGPIOD
	CheckAudio    = checkAudio
)
