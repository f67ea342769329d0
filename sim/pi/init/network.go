//go:build linux

package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// awaitInterface waits for the network card and returns its name.
func awaitInterface() (name string, err error) {
	err = await("the network card", func() bool {
		for _, name = range []string{"usb0", "eth0"} {
			if _, err := os.Stat("/sys/class/net/" + name); err == nil {
				return true
			}
		}
		return false
	})
	return name, err
}

// address is a sockaddr_in.
func address(a [4]byte) syscall.RawSockaddrInet4 {
	return syscall.RawSockaddrInet4{Family: syscall.AF_INET, Addr: a}
}

// ifreq is the argument of the requests about an interface.
type ifreq struct {
	name [syscall.IFNAMSIZ]byte
	data [24]byte
}

// bringUp gives an interface its address and starts it.
func bringUp(name string, ip, mask [4]byte) error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = syscall.Close(s) }() // it holds nothing
	var r ifreq
	copy(r.name[:], name)
	set := func(request uintptr) error { return ioctl(uintptr(s), request, unsafe.Pointer(&r)) }
	*(*syscall.RawSockaddrInet4)(unsafe.Pointer(&r.data)) = address(ip)
	if err := set(syscall.SIOCSIFADDR); err != nil {
		return fmt.Errorf("address of %s: %w", name, err)
	}
	*(*syscall.RawSockaddrInet4)(unsafe.Pointer(&r.data)) = address(mask)
	if err := set(syscall.SIOCSIFNETMASK); err != nil {
		return fmt.Errorf("mask of %s: %w", name, err)
	}
	*(*uint16)(unsafe.Pointer(&r.data)) = syscall.IFF_UP | syscall.IFF_RUNNING
	if err := set(syscall.SIOCSIFFLAGS); err != nil {
		return fmt.Errorf("start of %s: %w", name, err)
	}
	return nil
}

// rtentry is the argument of SIOCADDRT.
type rtentry struct {
	_                          uint64
	destination, gateway, mask syscall.RawSockaddrInet4
	flags                      uint16
	_                          int16
	_, _                       uint64
	metric                     int16
	device                     uint64
	mtu, window                uint64
	irtt                       uint16
}

// routeBy makes a gateway the way to all other addresses.
func routeBy(gateway [4]byte) error {
	const up, viaGateway = 1, 2
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = syscall.Close(s) }() // it holds nothing
	r := rtentry{destination: address([4]byte{}), gateway: address(gateway), mask: address([4]byte{}), flags: up | viaGateway}
	if err := ioctl(uintptr(s), syscall.SIOCADDRT, unsafe.Pointer(&r)); err != nil {
		return fmt.Errorf("route: %w", err)
	}
	return nil
}
