package pi_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// file is a file of the root file system of the machine.
type file struct {
	path string // absolute, in the machine
	mode uint32 // permissions
	data []byte
}

// initramfs packs files, with their folders, as the kernel unpacks them: a cpio
// archive of the format "newc", compressed.
func initramfs(files []file) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	inode := 0
	add := func(name string, mode uint32, data []byte) error {
		inode++
		// The fields after the magic number: inode, mode, owner, group, links, time,
		// size, four device numbers, length of the name with its NUL, checksum.
		header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
		var b bytes.Buffer
		pad := func() { b.Write(make([]byte, -b.Len()&3)) } // name and content end at a multiple of 4
		b.WriteString(header + name + "\x00")
		pad()
		b.Write(data)
		pad()
		_, err := z.Write(b.Bytes())
		return err
	}
	const folder, regular = 0o040000, 0o100000
	var made []string
	for _, f := range files {
		name := strings.TrimPrefix(f.path, "/")
		if dir := path.Dir(name); dir != "." && !slices.Contains(made, dir) {
			made = append(made, dir)
			if err := add(dir, folder|0o755, nil); err != nil {
				return nil, err
			}
		}
		if err := add(name, regular|f.mode, f.data); err != nil {
			return nil, err
		}
	}
	if err := add("TRAILER!!!", 0, nil); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// readFile is a file of the host as a file of the machine.
func readFile(name string, mode uint32, from string) (file, error) {
	data, err := os.ReadFile(from)
	return file{name, mode, data}, err
}
