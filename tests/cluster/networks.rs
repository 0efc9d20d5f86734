//! Machines that a test makes of network namespaces: each hangs on a switch by a cable that can be pulled.
//!
//! No namespace has a name. Each ends with this process and those in it, whatever ends them, and takes its links with
//! it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// A network of its own, without a link to any other.
pub struct Machine {
    namespace: File,
}

/// Machines on one switch. The first is the switch itself.
pub struct Network {
    switch: Machine,
    machines: Vec<Machine>,
}

/// Where the switch is reached.
pub const SWITCH: &str = "10.77.0.1";

impl Machine {
    fn new() -> io::Result<Machine> {
        let separate = || {
            // SAFETY: it concerns this thread only, which ends with it.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            File::open("/proc/thread-self/ns/net")
        };
        let namespace = std::thread::spawn(separate).join().expect("no panic")?;
        let machine = Machine { namespace };
        machine.ip("link set lo up")?;
        Ok(machine)
    }

    /// Where others find the namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// What goes before a command that is to run there.
    pub fn through(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--net={}", self.path())]
    }

    /// Configures it.
    fn ip(&self, words: &str) -> io::Result<()> {
        self.run(&format!("ip {words}"))
    }

    fn run(&self, words: &str) -> io::Result<()> {
        let through = self.through();
        let mut command = Command::new(&through[0]);
        let output = command.args(&through[1..]).args(words.split(' ')).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("{words}: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// Is this process there?
    fn has(&self, process: &Path) -> bool {
        let here = self.namespace.metadata().expect("a namespace").ino();
        // Others come and go meanwhile.
        process.join("ns/net").metadata().is_ok_and(|namespace| namespace.ino() == here)
    }
}

impl Network {
    /// So many machines beside the switch. None, and a line that says so, where that cannot be.
    pub fn new(machines: usize) -> Option<Network> {
        let made = Network::try_new(machines);
        let say = |error| {
            eprintln!("SKIPPED: clusters whose cables are cut or slow (no network namespaces: {error})")
        };
        made.map_err(say).ok()
    }

    fn try_new(machines: usize) -> io::Result<Network> {
        let switch = Machine::new()?;
        for words in ["link add switch type bridge", "link set switch up"] {
            switch.ip(words)?;
        }
        switch.ip(&format!("address add {SWITCH}/24 dev switch"))?;
        let machines = (0..machines).map(|number| plug(&switch, number));
        let machines = machines.collect::<io::Result<_>>()?;
        Ok(Network { switch, machines })
    }

    pub fn switch(&self) -> &Machine {
        &self.switch
    }

    pub fn machine(&self, number: usize) -> &Machine {
        &self.machines[number]
    }

    /// Pulls the cable of a machine.
    pub fn cut(&self, number: usize) {
        self.switch.ip(&format!("link set cable{number} down")).expect("a link");
    }

    pub fn mend(&self, number: usize) {
        self.switch.ip(&format!("link set cable{number} up")).expect("a link");
    }

    /// From now on a machine sends a hundred megabits a second at most. False, and a line that says so, where that
    /// cannot be.
    pub fn slow_down(&self, number: usize) -> bool {
        let slow = "tc qdisc add dev cable root tbf rate 100mbit burst 64kb latency 1s";
        let done = self.machines[number].run(slow);
        let say = |error| eprintln!("SKIPPED: a cluster on slow cables ({error})");
        done.map_err(say).is_ok()
    }

    /// Whether this machine and others for which the same is said reach each other. The switch they reach.
    pub fn keep_apart(&self, number: usize, apart: bool) {
        let apart = if apart { "on" } else { "off" };
        self.switch
            .ip(&format!("link set cable{number} type bridge_slave isolated {apart}"))
            .expect("a link");
    }

    /// Processes that are on any of the machines.
    pub fn processes(&self) -> Vec<String> {
        let machines = || self.machines.iter().chain([&self.switch]);
        let processes = std::fs::read_dir("/proc").expect("processes").flatten().map(|entry| entry.path());
        let there = processes.filter(|process| machines().any(|machine| machine.has(process)));
        there.map(|process| process.display().to_string()).collect()
    }
}

/// One more machine.
fn plug(switch: &Machine, number: usize) -> io::Result<Machine> {
    let machine = Machine::new()?;
    let other = machine.path();
    switch.ip(&format!("link add cable{number} type veth peer name cable netns {other}"))?;
    switch.ip(&format!("link set cable{number} master switch up"))?;
    machine.ip(&format!("address add 10.77.0.{}/24 dev cable", number + 2))?;
    machine.ip("link set cable up")?;
    Ok(machine)
}

/// Segments that a process's network has sent once more as no answer came.
pub fn sent_again(process: u32) -> u64 {
    let counters = std::fs::read_to_string(format!("/proc/{process}/net/snmp")).expect("counters");
    let mut tcp = counters.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next().expect("names"), tcp.next().expect("values"));
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, value) = both.find(|(name, _)| *name == "RetransSegs").expect("a counter");
    value.parse().expect("a number")
}
