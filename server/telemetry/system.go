package telemetry

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/cpu"
)

// system is what /telemetry tells about the machine.
type system struct {
	Distribution        string  `json:"distribution,omitempty"`
	DistributionVersion string  `json:"distribution_version,omitempty"`
	Docker              bool    `json:"is_docker"`
	Cores               int     `json:"cores"`
	RAM                 *uint64 `json:"ram_size,omitempty"` // KiB
	CPUFlags            string  `json:"cpu_flags"`
	Endian              string  `json:"cpu_endian"`
}

func readSystem() *system {
	s := &system{Cores: runtime.GOMAXPROCS(0), CPUFlags: cpuFlags(), Endian: "little"}
	if cpu.IsBigEndian {
		s.Endian = "big"
	}
	if _, err := os.Stat("/.dockerenv"); err == nil {
		s.Docker = true
	}
	s.Distribution, s.DistributionVersion = distribution()
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		// The first line is "MemTotal:  24595872 kB".
		if f := strings.Fields(string(text)); len(f) > 1 && f[0] == "MemTotal:" {
			if kib, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				s.RAM = &kib
			}
		}
	}
	return s
}

// distribution reads the names of the operating system, "" when it has none.
func distribution() (name, version string) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "NAME":
			name = value
		case "VERSION_ID":
			version = value
		}
	}
	return name, version
}

// cpuFlags names the processor's features that the distance kernels care for.
func cpuFlags() string {
	var flags []string
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"sse4.2", cpu.X86.HasSSE42},
		{"avx", cpu.X86.HasAVX},
		{"avx2", cpu.X86.HasAVX2},
		{"fma", cpu.X86.HasFMA},
		{"f16c", cpu.X86.HasF16C},
		{"popcnt", cpu.X86.HasPOPCNT},
		{"avx512f", cpu.X86.HasAVX512F},
		{"avx512bw", cpu.X86.HasAVX512BW},
		{"avx512vl", cpu.X86.HasAVX512VL},
		{"avx512vnni", cpu.X86.HasAVX512VNNI},
		{"avx512vpopcntdq", cpu.X86.HasAVX512VPOPCNTDQ},
		{"neon", cpu.ARM64.HasASIMD},
		{"dotprod", cpu.ARM64.HasASIMDDP},
		{"fp16", cpu.ARM64.HasASIMDHP},
	} {
		if f.has {
			flags = append(flags, f.name)
		}
	}
	return strings.Join(flags, ",")
}
