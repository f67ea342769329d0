package app

import "log/slog"

// checkOutputs reports where a killed process leaves its relays as they are: without
// strict_gpiod the kernel of a Raspberry Pi keeps the level of a released output.
// Then only a keeper, or the service manager's "agent safe-state", opens them.
func (r *running) checkOutputs() {
	if r.cfg.Hardware.Kind != HardwareRPi {
		return
	}
	strict, err := r.deps.StrictGPIOD()
	switch {
	case strict:
		return
	case err != nil:
		r.outputTrouble = "whether a killed agent leaves a relay closed is not known: " + err.Error()
	default:
		r.outputTrouble = "a killed agent leaves a relay closed: add dtparam=strict_gpiod to config.txt and restart the computer"
	}
	r.logger.Error("relays are not safe by themselves", slog.String("reason", r.outputTrouble))
}
