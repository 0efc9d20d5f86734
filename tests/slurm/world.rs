//! A provider that asks the test bed for workers.

use super::bed::Bed;
use super::scheduler::until;
use super::support::dolmen::Folder;
use cluster::life::Life;
use cluster::provider::{Place, PlaceState, Provider, Release};
use cluster::slurm::commands::{Call, Called, Commands};
use cluster::slurm::job_name::JobName;
use cluster::slurm::{Programs, SlurmOptions, SlurmProvider, SlurmRequest};
use std::sync::Arc;
use std::time::Instant;

/// Programs that find the test bed.
pub struct InBed(Arc<Bed>);

impl Commands for InBed {
    fn call(&mut self, call: &Call) -> Called {
        let mut words = vec![self.0.variable(), call.program.to_string()];
        words.extend(call.words.iter().cloned());
        Programs::default().call(&Call { program: "env", words, input: call.input.clone() })
    }
}

/// A provider, and the time of its calls.
pub struct World {
    bed: Arc<Bed>,
    pub provider: SlurmProvider<InBed>,
    name: JobName,
    began: Instant,
}

/// One thread and 300 MiB for each of at most four workers.
pub fn options(folder: &Folder) -> SlurmOptions {
    SlurmOptions {
        request: SlurmRequest::default(),
        threads: 1,
        memory: Some(300 << 20),
        program: env!("CARGO_BIN_EXE_dolmen").into(),
        scheduler_file: folder.path("cluster.json"),
        logs: Some(folder.path("")),
        most: 4,
    }
}

/// The same with something asked of SLURM.
pub fn asking(folder: &Folder, request: SlurmRequest) -> SlurmOptions {
    SlurmOptions { request, ..options(folder) }
}

impl World {
    pub fn new(bed: &Arc<Bed>, options: SlurmOptions) -> World {
        let name = JobName::new(&options.scheduler_file.to_string_lossy(), Life::random());
        let provider = SlurmProvider::new(options, name.clone(), InBed(bed.clone())).expect("options");
        World { bed: bed.clone(), provider, name, began: Instant::now() }
    }

    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Waits until a place is in this state.
    #[track_caller]
    pub fn until(&mut self, name: &str, state: PlaceState) -> Place {
        let mut found = None;
        until(&format!("{name}: {state}"), || {
            // Not as seldom as SLURM is asked otherwise: it is ours alone.
            let now = self.now() * 100.0;
            let mut places = self.provider.state(now).expect("places").into_iter();
            found = places.find(|place| place.name == name && place.state == state);
            found.is_some()
        });
        found.expect("it was found")
    }

    pub fn in_queue(&self) -> String {
        self.bed.ok(&format!("squeue --noheader --name={}", self.name.as_str()))
    }

    /// Ends all jobs, and waits until SLURM says that there are none.
    #[track_caller]
    pub fn end(&mut self) {
        self.provider.release(Release::All, self.now()).expect("released");
        until("an empty queue", || self.in_queue().is_empty());
    }
}
