// Versus sets the renderer against sharp, the image library of Node.js, on the same
// files and in turn, and prints what each took:
//
//	npm install --prefix ./node sharp@0.35
//	go build -tags turbo -o versus ./processing/internal/versus  # with CGO_CFLAGS as in deploy/build-static
//	./versus -sharp ./node -psnr photos/*.jpg                    # a pipeline for each variant, as most programs call sharp
//	./versus -sharp ./node -mode cascade -icc photos/*.jpg       # the least that sharp can be asked for
//	go run ./processing/internal/versus -sharp ./node photos/*.jpg
//
// The last is the build without libjpeg-turbo. All ask for the same sizes and effort, and sharp for
// quality 80; whether that is our quality, too, -psnr tells.
//
// The figure is processor time of the whole process, user and system: that of the
// clock depends on what else the machine does. Each round runs a process of ours and
// one of Node, each of which makes the variants of all files, one after the other;
// the median of the rounds' ratios counts.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/shoebox-photos/shoebox/processing/render"
)

//go:embed sharp.mjs
var script []byte

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("versus", flag.ContinueOnError)
	sharp := flags.String("sharp", "", "`directory` in which sharp is installed; without it only the renderer runs")
	mode := flags.String("mode", "two", "sharp's way: two (a pipeline for each variant) or cascade (decode once)")
	icc := flags.Bool("icc", false, "let sharp keep the colour profile, which spares it the conversion")
	effort := flags.Int("effort", 4, "sharp's effort, 0 to 6")
	quality := flags.Int("quality", 80, "sharp's quality, 0 to 100")
	rounds := flags.Int("rounds", 3, "how often")
	compare := flags.Bool("psnr", false, "compare the views with a reference, too, which takes a second for each photo")
	keep := flags.String("keep", "", "`directory` for the variants; without it they are thrown away")
	ours := flags.Bool("ours", false, "render the files in this process (used by the command itself)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("no files: see go doc ./processing/internal/versus")
	}
	files := make([]string, flags.NArg())
	for i, name := range flags.Args() {
		var err error
		if files[i], err = filepath.Abs(name); err != nil {
			return err
		}
	}
	if *ours {
		render.Settle()
		return renderAll(files, *keep, stdout)
	}
	if *keep == "" {
		temporary, err := os.MkdirTemp("", "versus-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		*keep = temporary
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	contestants := []contestant{{name: "shoebox", command: func(keep string) *exec.Cmd {
		return exec.Command(self, append([]string{"-ours", "-keep", keep}, files...)...)
	}}}
	if *sharp != "" {
		name := fmt.Sprintf("sharp %s e%d", *mode, *effort)
		if *icc {
			name += " icc"
		}
		contestants = append(contestants, contestant{name: name, command: func(keep string) *exec.Cmd {
			options, _ := json.Marshal(map[string]any{
				"mode": *mode, "icc": *icc, "effort": *effort, "quality": *quality, "keep": keep, "files": files, "recipes": render.Recipes,
			})
			cmd := exec.Command("node", "--input-type=module", "-", string(options))
			cmd.Dir = *sharp
			cmd.Stdin = bytes.NewReader(script)
			return cmd
		}})
	}
	return compete(contestants, files, *rounds, *keep, *compare, stdout)
}

// renderAll makes the variants of all files and keeps them.
func renderAll(files []string, keep string, stdout io.Writer) error {
	for _, name := range files {
		start := processorTime()
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		res, err := render.Render(f, info.Size(), nil)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		for _, v := range res.Variants {
			if err := os.WriteFile(filepath.Join(keep, variantName(name, v.Recipe.Variant)), v.Data, 0o600); err != nil {
				return err
			}
		}
		runtime.GC() // as a child of a render.Pool does
		fmt.Fprintln(stdout, (processorTime() - start).Milliseconds())
	}
	return nil
}

// variantName is what both call the variant of a file.
func variantName(file, variant string) string { return filepath.Base(file) + "." + variant }

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A contestant makes the variants of all files in a process of its own.
type contestant struct {
	name    string
	command func(keep string) *exec.Cmd

	cpu   []time.Duration   // of each round
	peak  []int64           // bytes
	files [][]time.Duration // of each file, in each round
}

func (c *contestant) dir(keep string) string {
	return filepath.Join(keep, strings.ReplaceAll(c.name, " ", "-"))
}

// round runs the contestant once.
func (c *contestant) round(keep string) error {
	if err := os.MkdirAll(c.dir(keep), 0o700); err != nil {
		return err
	}
	cmd := c.command(c.dir(keep))
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("this system does not tell what a process used")
	}
	c.cpu = append(c.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	c.peak = append(c.peak, usage.Maxrss<<10)
	var each []time.Duration
	for line := range strings.Lines(stdout.String()) {
		var ms int64
		if _, err := fmt.Sscan(line, &ms); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		each = append(each, time.Duration(ms)*time.Millisecond)
	}
	c.files = append(c.files, each)
	return nil
}

// compete runs the contestants in turn and prints the tables.
func compete(contestants []contestant, files []string, rounds int, keep string, compare bool, stdout io.Writer) error {
	for range rounds {
		for i := range contestants {
			if err := contestants[i].round(keep); err != nil {
				return err
			}
		}
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer table.Flush()
	row := func(cells ...any) {
		for _, cell := range cells {
			fmt.Fprintf(table, "%v\t", cell)
		}
		fmt.Fprintln(table)
	}
	head := []any{"file", "contestant", "cpu ms"}
	for _, r := range render.Recipes {
		head = append(head, r.Variant+" bytes", "PSNR-Y dB", "SSIM-Y")
	}
	row(head...)
	bytes := make([]int64, len(contestants))
	alike := make([][]likeness, len(contestants)) // of each recipe: means over the files
	for k := range alike {
		alike[k] = make([]likeness, len(render.Recipes))
	}
	for i, file := range files {
		var picture image.Image
		if compare {
			var err error
			if picture, err = original(file); err != nil {
				return fmt.Errorf("%s: %w", filepath.Base(file), err)
			}
		}
		references := make([]*luma, len(render.Recipes))
		for k := range contestants {
			c := &contestants[k]
			var times []time.Duration
			for _, each := range c.files {
				times = append(times, each[i])
			}
			cells := []any{filepath.Base(file), c.name, median(times).Milliseconds()}
			for v, r := range render.Recipes {
				data, err := os.ReadFile(filepath.Join(c.dir(keep), variantName(file, r.Variant)))
				if err != nil {
					return err
				}
				bytes[k] += int64(len(data))
				if picture == nil {
					cells = append(cells, len(data), "-", "-")
					continue
				}
				if k == 0 {
					if references[v], err = referenceOf(picture, data); err != nil {
						return err
					}
				}
				like, err := references[v].likeness(data)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", r.Variant, filepath.Base(file), err)
				}
				cells = append(cells, len(data), fmt.Sprintf("%.2f", like.psnr), fmt.Sprintf("%.5f", like.ssim))
				alike[k][v].psnr += like.psnr / float64(len(files))
				alike[k][v].ssim += like.ssim / float64(len(files))
			}
			row(cells...)
		}
	}
	for k := range contestants {
		row("all", contestants[k].name, median(contestants[k].cpu).Milliseconds(), bytes[k])
	}
	table.Flush()
	for k := range contestants {
		c := &contestants[k]
		fmt.Fprintf(stdout, "%s: peak %d MiB, %.2f photos/s of one processor\n", c.name, median(c.peak)>>20, float64(len(files))/median(c.cpu).Seconds())
		if k == 0 {
			continue
		}
		ours := &contestants[0]
		var cpu, peak []float64
		for i := range c.cpu {
			cpu = append(cpu, float64(ours.cpu[i])/float64(c.cpu[i]))
			peak = append(peak, float64(ours.peak[i])/float64(c.peak[i]))
		}
		fmt.Fprintf(stdout, "%s against %s: cpu %.2f, peak memory %.2f, bytes %.3f", ours.name, c.name, median(cpu), median(peak), float64(bytes[0])/float64(bytes[k]))
		if compare {
			for v, r := range render.Recipes {
				fmt.Fprintf(stdout, ", %s PSNR-Y %+.2f dB, SSIM-Y %+.5f", r.Variant, alike[0][v].psnr-alike[k][v].psnr, alike[0][v].ssim-alike[k][v].ssim)
			}
		}
		fmt.Fprintln(stdout)
	}
	return nil
}

// median is the middle one, of two the larger.
func median[T int64 | float64 | time.Duration](v []T) T {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
