//! The life of an attempt, from the lock to the record of its end.

mod measure;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use dagbook_events::step::{StartErrorKind, StopCause};
use dagbook_events::time::{Millis, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::super::paths::AttemptDir;
use super::super::records::{
    CancelRequest, Launch, ShimExit, StartProblem, Started, Stop, StopReason, boot_ms,
};
use super::child;
use super::control::Control;
use super::log::{Log, Pumped};
use super::mask::Masker;
use super::reap::Reaped;
use super::signals::Signals;
use super::stop::Stopper;

/// Between two samples of memory.
const SAMPLE: Duration = Duration::from_secs(1);

pub(super) fn run(attempt_dir: &Path) -> io::Result<()> {
    // Everything that the orchestrator left open by accident, before anything of ours is open.
    close_from_third();
    let signals = Signals::block_all()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let notices = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let control = Control::take(AttemptDir::at(attempt_dir), notices)?;
    let launch = control.launch()?;
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))?;
    rustix::thread::set_no_new_privs(true)?;
    match Supervisor::start(control, signals, launch) {
        Ok(supervisor) => supervisor.run(),
        Err(refused) => {
            let (control, exit) = *refused;
            control.exit(&exit)
        }
    }
}

/// Who closes what: only descriptors 0 to 2 are the shim's at its start.
pub(super) fn close_from_third() {
    if super::signals::close_from(3) {
        return;
    }
    // Before Linux 5.9.
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        super::signals::close(fd);
    }
}

struct Supervisor {
    control: Control,
    signals: Signals,
    launch: Launch,
    log: Log,
    main_pid: u32,
    reaped: Reaped,
    stopper: Stopper,
    began: Instant,
    sign_of_life: Instant,
    next_sample: Instant,
    memory_mib_ms: u64,
    started: Timestamp,
    next_measure: Instant,
    /// CPU time that was measured, so that it never seems to become less.
    cpu_us: u64,
    log_open: bool,
}

impl Supervisor {
    /// Starts the step; or hands back the end of an attempt that did not start.
    fn start(
        mut control: Control,
        signals: Signals,
        launch: Launch,
    ) -> Result<Self, Box<(Control, ShimExit)>> {
        let mut exit = ShimExit::unseen(launch.allocated, now(&launch));
        if let Some(request) = control.cancel_request() {
            exit.stop = Some(Stop { reason: StopReason::Canceled(request.by), forced: false });
            return Err(Box::new((control, exit)));
        }
        let (log, pid) = match begin(&launch) {
            Ok(begun) => begun,
            Err(problem) => {
                let _ = launch.cgroup.remove();
                exit.start_error = Some(problem);
                return Err(Box::new((control, exit)));
            }
        };
        let started = Started { pid, at: now(&launch) };
        if let Err(error) = control.started(&started) {
            eprintln!("shim: `started` cannot be written: {error}");
        }
        let began = Instant::now();
        let measure = Duration::from_millis(launch.measure_ms.max(1));
        Ok(Self {
            stopper: Stopper::new(launch.cgroup.clone(), pid),
            control,
            signals,
            launch,
            log,
            main_pid: pid,
            reaped: Reaped::default(),
            began,
            sign_of_life: began,
            next_sample: began + SAMPLE,
            memory_mib_ms: 0,
            started: started.at,
            next_measure: began + measure,
            cpu_us: 0,
            log_open: true,
        })
    }

    fn run(mut self) -> io::Result<()> {
        // A request may have come between the last look and the start.
        self.look_for_cancel();
        loop {
            self.reaped.collect(self.main_pid);
            let now = Instant::now();
            if self.reaped.main.is_some() && self.reaped.none_left {
                return self.finish(0);
            }
            self.enforce(now);
            self.stopper.tick(self.reaped.main.is_some(), now);
            if let Some(unkillable) = self.stopper.given_up(now) {
                return self.finish(unkillable);
            }
            self.wait(self.next_wake().saturating_duration_since(Instant::now()))?;
        }
    }

    /// Bounds of time, and samples.
    fn enforce(&mut self, now: Instant) {
        if self.next_sample <= now {
            self.sample(now);
        }
        if self.next_measure <= now && self.reaped.main.is_none() {
            self.measure(now);
        }
        if self.reaped.main.is_some() || self.stopper.is_stopping() {
            return;
        }
        let grace = Duration::from_millis(self.launch.limits.grace_ms);
        if self.run_deadline() <= now {
            self.stopper.request(StopReason::RunTimeout, grace, now);
        } else if self.heartbeat_deadline().is_some_and(|at| at <= now) {
            self.stopper.request(StopReason::HeartbeatTimeout, grace, now);
        }
    }

    fn run_deadline(&self) -> Instant {
        // A bound beyond what the clock can say is no bound.
        let bound = Duration::from_millis(self.launch.limits.run_ms);
        self.began.checked_add(bound).unwrap_or(self.began + Duration::from_secs(1 << 32))
    }

    fn heartbeat_deadline(&self) -> Option<Instant> {
        let bound = Duration::from_millis(self.launch.limits.heartbeat_ms?);
        let touched = self.control.outputs_touched().and_then(|at| at.elapsed().ok());
        let touched = touched.and_then(|ago| Instant::now().checked_sub(ago));
        Some(touched.map_or(self.sign_of_life, |at| at.max(self.sign_of_life)) + bound)
    }

    fn sample(&mut self, now: Instant) {
        let span = (now - self.next_sample + SAMPLE).as_millis();
        if let Some(bytes) = self.launch.cgroup.memory_now() {
            self.memory_mib_ms += (bytes >> 20) * u64::try_from(span).unwrap_or(0);
        }
        self.next_sample = now + SAMPLE;
    }

    fn next_wake(&self) -> Instant {
        let mut next = self.next_sample;
        if self.reaped.main.is_none() {
            next = next.min(self.next_measure);
        }
        if self.reaped.main.is_none() && !self.stopper.is_stopping() {
            next = next.min(self.run_deadline());
            next = self.heartbeat_deadline().map_or(next, |at| next.min(at));
        }
        self.stopper.next().map_or(next, |at| next.min(at))
    }

    /// Waits for output, signals or the time.
    fn wait(&mut self, span: Duration) -> io::Result<()> {
        // Rounded up: a wait that ends early would only be begun again.
        let span = span + Duration::from_micros(500);
        let timeout = Timespec::try_from(span).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let mut fds = vec![PollFd::new(self.signals.fd(), PollFlags::IN)];
        if self.log_open {
            fds.push(PollFd::new(self.log.fd(), PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let output = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        if output {
            match self.log.pump() {
                Pumped::Bytes(_) => self.sign_of_life = Instant::now(),
                Pumped::Empty => {}
                Pumped::Closed => self.log_open = false,
            }
        }
        let arrived = self.signals.take();
        if arrived.wake {
            self.look_for_cancel();
        }
        if arrived.terminate {
            let grace_ms = self.launch.limits.grace_ms;
            self.cancel(&CancelRequest { by: StopCause::Shutdown, grace_ms });
        }
        Ok(())
    }

    fn look_for_cancel(&mut self) {
        if let Some(request) = self.control.cancel_request() {
            self.cancel(&request);
        }
    }

    fn cancel(&mut self, request: &CancelRequest) {
        // What has ended by itself before the request arrived was not cancelled.
        self.reaped.collect(self.main_pid);
        if self.reaped.main.is_none() || self.stopper.is_stopping() {
            let grace = Duration::from_millis(request.grace_ms);
            self.stopper.request(StopReason::Canceled(request.by), grace, Instant::now());
        }
    }

    fn finish(mut self, unkillable: u32) -> io::Result<()> {
        // The counters vanish with the group.
        let oom_kills = self.launch.cgroup.counters().oom_kills;
        let figures = self.figures();
        let log = self.log.finish();
        if let Err(error) = self.launch.cgroup.remove() {
            eprintln!("shim: the control group cannot be removed: {error}");
        }
        let exit = ShimExit {
            main: self.reaped.main,
            stop: self.stopper.verdict(),
            oom_kills,
            leftovers: self.stopper.leftovers,
            unkillable,
            secret_in_outputs: !self.launch.masks.is_empty()
                && Masker::new(self.launch.masks.clone()).finds(&self.control.outputs()),
            started: Some(self.started),
            figures,
            log,
            ..ShimExit::unseen(self.launch.allocated, now(&self.launch))
        };
        self.control.exit(&exit)
    }
}

/// The log and the step's main process.
fn begin(launch: &Launch) -> Result<(Log, u32), StartProblem> {
    let problem = |what: &str, error: &dyn std::fmt::Display| StartProblem {
        kind: StartErrorKind::Io,
        message: format!("{what}: {error}"),
    };
    let leaf = &launch.cgroup;
    let bounded =
        leaf.create(&launch.limits).map_err(|e| problem("making the control group", &e))?;
    let joins = leaf.joins().map_err(|e| problem("opening the control group", &e))?;
    let (read, write) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| problem("making the output pipe", &e))?;
    rustix::io::ioctl_fionbio(&read, true).map_err(|e| problem("the output pipe", &e))?;
    let write: OwnedFd = write;
    let masker = Masker::new(launch.masks.clone());
    let log = Log::open(read, &launch.log, &launch.log_index, launch.limits.log_bytes, masker);
    let started = child::start(launch, joins, &write, !leaf.has_memory() || !bounded);
    drop(write);
    match started {
        Ok(pid) => Ok((log, pid)),
        Err(problem) => {
            log.finish();
            Err(problem)
        }
    }
}

/// The wall time now, carried from the orchestrator's by a clock that nobody sets.
fn now(launch: &Launch) -> Timestamp {
    launch.allocated + Millis(boot_ms().saturating_sub(launch.allocated_boot_ms))
}
