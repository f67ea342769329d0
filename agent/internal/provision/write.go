package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/carga-ev/carga/hal/rpi"
)

// The lines around what is written into config.txt.
const (
	blockBegin = "# begin of carga: written by agent provision"
	blockEnd   = "# end of carga"
)

// Card is the boot partition of a card.
type Card struct {
	Folder string
	// Force replaces files that hold more than comments, as an image has them.
	Force bool
}

// Write writes the planned files, the lines of the wiring into config.txt, and
// removes a console from the serial port that the wiring uses. deb, if not empty,
// is the package to copy. Everything is checked before the first file is written;
// it returns the names of the files it wrote.
func (c Card) Write(plan map[string]string, wiring rpi.Config, deb string) ([]string, error) {
	changes := map[string][]byte{}
	for name, text := range plan {
		old, err := c.read(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if !c.Force && old != text && !onlyComments(old) {
			return nil, fmt.Errorf("%s exists and differs: --force replaces it", filepath.Join(c.Folder, name))
		}
		changes[name] = []byte(text)
	}
	config, err := c.read("config.txt")
	if err != nil {
		return nil, fmt.Errorf("%w: want the mounted boot partition of a Raspberry Pi's SD card, with its config.txt", err)
	}
	changes["config.txt"] = []byte(withBlock(config, wiring.BootLines()))
	if wiring.UsesSerialHeader() {
		console, err := c.read("cmdline.txt")
		if err != nil {
			return nil, err
		}
		changes["cmdline.txt"] = []byte(withoutSerialConsole(console))
	}
	if deb != "" {
		content, err := os.ReadFile(deb)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(string(content), "!<arch>\n") {
			return nil, fmt.Errorf("%s is no Debian package", deb)
		}
		changes[PackageName] = content
	}
	var wrote []string
	// user-data comes last: without it cloud-init does nothing.
	for _, name := range []string{PackageName, "config.txt", "cmdline.txt", NetworkConfig, MetaData, UserData} {
		content, planned := changes[name]
		if !planned {
			continue
		}
		if err := replace(filepath.Join(c.Folder, name), content); err != nil {
			return wrote, err
		}
		wrote = append(wrote, name)
	}
	return wrote, nil
}

func (c Card) read(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(c.Folder, name))
	return string(text), err
}

// replace writes a file beside its place and renames it, so that a card that is
// pulled out has the old one or the new one.
func replace(name string, content []byte) (err error) {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(name+".new", name)
	}
	return err
}

// onlyComments reports whether a file of an image holds nothing that counts.
func onlyComments(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// withBlock puts lines between our two marks at the end of config.txt, instead of
// those of an earlier run.
func withBlock(text string, lines []string) string {
	if before, rest, found := strings.Cut(text, blockBegin+"\n"); found {
		_, after, _ := strings.Cut(rest, blockEnd+"\n")
		text = before + after
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	// [all] ends a section that may be for another model.
	return text + blockBegin + "\n[all]\n" + strings.Join(lines, "\n") + "\n" + blockEnd + "\n"
}

// withoutSerialConsole removes the consoles of the header's serial port from the
// line of the kernel.
func withoutSerialConsole(line string) string {
	var kept []string
	for word := range strings.FieldsSeq(line) {
		if !strings.HasPrefix(word, "console=serial") && !strings.HasPrefix(word, "console=ttyAMA") && !strings.HasPrefix(word, "console=ttyS") {
			kept = append(kept, word)
		}
	}
	return strings.Join(kept, " ") + "\n"
}
