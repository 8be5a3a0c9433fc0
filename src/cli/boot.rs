//! The options of `jib boot`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jib_debug::address::Address;
use jib_debug::log::Categories;
use jib_machine::devices::gic::Version;
use jib_machine::launch::fetch::Package;
use jib_machine::launch::options::{DiskSpec, Options, PortForward, parse_memory};

use super::run::{CacheArgs, EngineArgs, GDB, StatsArgs};

pub(super) const EXAMPLES: &str = "\
Examples:
  jib boot                                        Debian's kernel (fetched once) and a shell
  jib boot -- uname -a                            run a command in the guest; its status is jib's
  jib boot --debian arm.img,rw                    make a disk with Debian (once), and boot it: login root
  jib boot -j 2 -m 2G arm.img,rw                  boot a disk by its own kernel, or by Debian's; keep its changes
  jib boot --package linux-image-arm64/trixie     another kernel of Debian's
  jib boot --disk root.img,rw --append root=/dev/vda Image --initrd initrd.img
  jib boot --gdb --append nokaslr                 wait for `gdb-multiarch -ex 'target remote :1234' vmlinux`
  jib boot --log irq,psci --log-file log          what the machine does, by category
  jib boot -p 2222:22 --share .                   reach the guest's port 22, share this folder

At the console Ctrl-A x leaves, Ctrl-A h helps. The host is 10.0.2.2 for the guest. The exit status is 0
when the guest powers off or the user leaves, 101 after a panic of its kernel, 124 when the time is up,
the command's own if there is one; 1: cannot be booted, 2: wrong usage, 70: a bug of jib's.";

/// `jib boot`
#[derive(Args)]
pub(crate) struct BootArgs {
    /// A kernel (Image, ELF, EFI zboot; also compressed), or a raw disk image with a system on ext4, whose changes
    /// vanish unless `,rw` is added; Debian's kernel, fetched once, if absent
    #[arg(value_name = "KERNEL|DISK")]
    pub(crate) kernel: Option<PathBuf>,
    /// Make DISK first, of Debian's packages: the host's release, or the one named. Root logs in without a password
    #[arg(long, value_name = "RELEASE", num_args = 0..=1, require_equals = true, default_missing_value = "", requires = "kernel", conflicts_with = "command")]
    pub(crate) debian: Option<String>,
    /// With --debian: more packages
    #[arg(long, value_name = "PACKAGE,...", value_delimiter = ',', requires = "debian")]
    pub(crate) include: Vec<String>,
    /// With --debian: the disk's size; what is not used takes no space
    #[arg(long, value_name = "SIZE", default_value = "8G", value_parser = parse_memory, requires = "debian")]
    pub(crate) size: u64,
    /// Fetch this package of Debian's with a kernel, instead of linux-image-cloud-arm64
    #[arg(long, value_name = "NAME[/RELEASE]")]
    pub(crate) package: Option<Package>,
    /// An initrd for the kernel
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// Add to the kernel's command line
    #[arg(long, value_name = "ARGS")]
    pub(crate) append: Option<String>,
    /// Start this firmware (UEFI, U-Boot) from flash, which then starts KERNEL or what is on the disks
    #[arg(long, value_name = "FILE")]
    pub(crate) bios: Option<PathBuf>,
    /// Content of the second bank of flash, for the firmware's variables; changes vanish unless `,rw` is added
    #[arg(long, value_name = "FILE[,ro|rw]")]
    pub(crate) flash: Option<DiskSpec>,
    /// Use this device tree instead of the board's own
    #[arg(long, value_name = "FILE")]
    pub(crate) dtb: Option<PathBuf>,
    /// Attach a raw disk image; changes vanish unless `,rw` is added
    #[arg(long = "disk", value_name = "FILE[,ro|rw]")]
    pub(crate) disks: Vec<DiskSpec>,
    /// Share a folder (by 9p, mounted at /mnt/share0 and so on)
    #[arg(long = "share", value_name = "DIR")]
    pub(crate) shares: Vec<PathBuf>,
    /// Amount of memory
    #[arg(short, long, value_name = "SIZE", default_value = "1G", value_parser = parse_memory)]
    pub(crate) memory: u64,
    /// Number of CPUs
    #[arg(short = 'j', long, value_name = "N", default_value = "1")]
    pub(crate) cpus: usize,
    /// Forward a TCP port of the host into the guest
    #[arg(short = 'p', long = "port", value_name = "[ADDR:]HOST:GUEST")]
    pub(crate) ports: Vec<PortForward>,
    /// Version of the interrupt controller
    #[arg(long, value_name = "2|3", default_value = "3", value_parser = clap::value_parser!(u8).range(2..=3))]
    pub(crate) gic: u8,
    /// Leave the network out
    #[arg(long)]
    pub(crate) no_net: bool,
    /// Let a program without an operating system write, and exit with a status, by HLT 0xF000
    #[arg(long)]
    pub(crate) semihosting: bool,
    /// Stop the guest after this time; the exit code is 124 then
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Wait for GDB before the first instruction (at 127.0.0.1:1234 unless said otherwise) and obey it
    #[arg(long, value_name = "[HOST]:PORT|unix:PATH", num_args = 0..=1, require_equals = true, default_missing_value = GDB)]
    pub(crate) gdb: Option<Address>,
    /// Write down what happens: exec (blocks), exception, irq, mmio, mmu (faults, TLB maintenance), psci; or all
    #[arg(long, value_name = "WHAT[,WHAT]...")]
    pub(crate) log: Option<Categories>,
    /// Write down each instruction as it is executed (slow)
    #[arg(long)]
    pub(crate) trace: bool,
    /// Write log and trace to this file instead of standard error
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) stats: StatsArgs,
    /// Tell what is used, and what the guest asks for in vain
    #[arg(short, long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Run this in the guest instead of a shell; its exit code is jib's
    #[arg(last = true, value_name = "CMD [ARGS]")]
    pub(crate) command: Vec<OsString>,
}

impl BootArgs {
    /// As the machine wants them.
    pub(crate) fn options(&self) -> Options {
        Options {
            kernel: self.kernel.clone(),
            package: self.package.clone(),
            initrd: self.initrd.clone(),
            append: self.append.clone(),
            bios: self.bios.clone(),
            flash: self.flash.clone(),
            dtb: self.dtb.clone(),
            disks: self.disks.clone(),
            shares: self.shares.clone(),
            memory: self.memory,
            cpus: self.cpus,
            forwards: self.ports.clone(),
            gic: if self.gic == 2 { Version::V2 } else { Version::V3 },
            net: !self.no_net,
            semihosting: self.semihosting,
            timeout: self.timeout.map(Duration::from_secs),
            engine: self.engine.options(),
            verbose: self.verbose,
            command: self.command.clone(),
            // What must be opened first is filled in by the command.
            ..Options::default()
        }
    }
}
