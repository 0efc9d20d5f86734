//! What goes from process to process in a run of a fleet: the scheduler itself, played through in virtual time with the
//! seconds that it guesses before anything has been measured.

use super::core::Core;
use super::desk::{Desk, Orders, Prepared};
use super::estimates::Estimates;
use super::events::{Action, Event, Unbegun};
use super::fleet_plan::{Seat, plan_fleet};
use super::plan::PlanError;
use crate::graph::Program;
use crate::ids::{BlockId, MemoryId, TaskId, TaskList, WorkerId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

/// What a link and a disk are taken to do.
const BYTES_PER_SECOND: f64 = 1e9;
/// Virtual time counts nanoseconds: numbers that are compared the same everywhere.
const NANOSECOND: f64 = 1e-9;

/// Threads of one class at a worker, and the tasks that lack nothing but one of them.
struct ClassThreads {
    free: u64,
    waiting: VecDeque<Prepared<()>>,
}

/// A worker. What it fetches lies on its desk at once: the tasks that need it begin when it would be there.
struct ForecastWorker {
    desk: Desk<()>,
    /// Those that compute, and those that wait for files.
    threads: [ClassThreads; 2],
    /// When all is there that was fetched for a task that has not begun.
    there: BTreeMap<TaskId, u64>,
}

struct Player {
    program: Arc<Program>,
    estimates: Estimates,
    now: u64,
    /// What happens when. The second number keeps the order of what happens at the same time.
    due: BinaryHeap<Reverse<(u64, u64)>>,
    happens: BTreeMap<u64, Event>,
    workers: Vec<ForecastWorker>,
    /// Blocks that have been fetched, and when they come. A worker asks for each once.
    fetched: HashMap<(WorkerId, BlockId), u64>,
    moved: u64,
}

/// Bytes of blocks that go from process to process when `program` is done by these workers. About so many: a run in
/// real time goes another way. O(tasks · log tasks).
///
/// # Errors
/// If they cannot do it, see [`plan_fleet`].
pub fn forecast_network(program: &Arc<Program>, seats: &[Seat], scratch: u64) -> Result<u64, PlanError> {
    let fleet = plan_fleet(program, seats, None, scratch)?;
    let mut core = Core::for_fleet(program.clone(), &fleet, None);
    let mut player = Player::new(program, seats);
    let join = |(number, seat): (u32, &Seat)| Event::Join {
        worker: WorkerId(number),
        threads: seat.threads.compute as u32,
        memory: MemoryId(number),
        bytes: fleet.bytes_of(*seat),
    };
    let mut events: Vec<Event> = (0..).zip(seats).map(join).collect();
    let mut actions = Vec::new();
    loop {
        core.handle(events.drain(..), &mut actions);
        actions.drain(..).for_each(|action| player.perform(action));
        match player.next() {
            Some(event) => events.push(event),
            None => return Ok(player.moved),
        }
    }
}

impl Player {
    /// Nobody does anything yet.
    fn new(program: &Arc<Program>, seats: &[Seat]) -> Player {
        let threads = |free: u64| ClassThreads { free, waiting: VecDeque::new() };
        let workplace = |seat: &Seat| ForecastWorker {
            desk: Desk::new(program.clone()),
            threads: [threads(seat.threads.compute), threads(seat.threads.io)],
            there: BTreeMap::new(),
        };
        Player {
            program: program.clone(),
            estimates: Estimates::new(program),
            now: 0,
            due: BinaryHeap::new(),
            happens: BTreeMap::new(),
            workers: seats.iter().map(workplace).collect(),
            fetched: HashMap::new(),
            moved: 0,
        }
    }

    /// What happens next, if anything does.
    fn next(&mut self) -> Option<Event> {
        let Reverse((at, number)) = self.due.pop()?;
        self.now = at;
        let event = self.happens.remove(&number)?;
        if let Event::Finished { worker, tasks, .. } = &event {
            for task in tasks.iter() {
                self.is_done(*worker, task);
            }
        }
        Some(event)
    }

    fn later(&mut self, at: u64, event: Event) {
        let number = self.happens.last_key_value().map_or(0, |(last, _)| last + 1);
        self.due.push(Reverse((at, number)));
        self.happens.insert(number, event);
    }

    fn class(&self, task: TaskId) -> usize {
        usize::from(self.program.stage(task.stage).kind.is_io())
    }

    fn bytes(&self, block: BlockId) -> u64 {
        self.program.stage(block.stage).bytes(block.index)
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Assign { worker, tasks, fetch, .. } => self.assign(worker, &tasks, &fetch),
            Action::TakeBack { worker, share } => self.take_back(worker, share),
            Action::Free { worker, blocks } | Action::Drop { worker, blocks } => {
                self.remove(worker, &blocks);
            }
            Action::Spill { worker, blocks } => {
                self.remove(worker, &blocks);
                for block in blocks.iter() {
                    let written = self.now + nanoseconds(self.bytes(block) as f64 / BYTES_PER_SECOND);
                    self.later(written, Event::Spilled { worker, block });
                }
            }
            _ => {}
        }
    }

    /// When all of these are at `worker`, one after the other. Those from others are counted; what it reads itself
    /// takes as long.
    fn fetch(&mut self, worker: WorkerId, fetch: &[(BlockId, WorkerId)]) -> u64 {
        let mut all_there = self.now;
        let mut free = self.now;
        for (block, from) in fetch {
            let there = match self.fetched.get(&(worker, *block)) {
                Some(there) => *there,
                None => {
                    let bytes = self.bytes(*block);
                    self.moved += if *from == worker { 0 } else { bytes };
                    free += nanoseconds(bytes as f64 / BYTES_PER_SECOND);
                    self.fetched.insert((worker, *block), free);
                    free
                }
            };
            all_there = all_there.max(there);
        }
        all_there
    }

    fn assign(&mut self, worker: WorkerId, tasks: &TaskList, fetch: &[(BlockId, WorkerId)]) {
        let there = self.fetch(worker, fetch);
        let ForecastWorker { desk, there: of_tasks, .. } = &mut self.workers[worker.0 as usize];
        of_tasks.extend(tasks.iter().map(|task| (task, there)));
        let mut begin = desk.assign(tasks, fetch).begin;
        for (block, _) in fetch {
            begin.extend(desk.arrived(*block, ()).begin);
        }
        self.enqueue(worker, begin);
    }

    fn enqueue(&mut self, worker: WorkerId, tasks: Vec<Prepared<()>>) {
        for prepared in tasks {
            let class = self.class(prepared.task);
            self.workers[worker.0 as usize].threads[class].waiting.push_back(prepared);
            self.begin(worker, class);
        }
    }

    fn is_done(&mut self, worker: WorkerId, task: TaskId) {
        let leaves_block = self.program.stage(task.stage).leaves_blocks();
        let class = self.class(task);
        let workplace = &mut self.workers[worker.0 as usize];
        let mut orders = Orders::default();
        workplace.desk.made(task, leaves_block.then_some(()), &mut orders);
        workplace.threads[class].free += 1;
        self.begin(worker, class);
        self.enqueue(worker, orders.begin);
    }

    fn remove(&mut self, worker: WorkerId, blocks: &TaskList) {
        for block in blocks.iter() {
            self.workers[worker.0 as usize].desk.remove(block);
            self.fetched.remove(&(worker, block));
        }
    }

    fn take_back(&mut self, worker: WorkerId, share: Unbegun) {
        let ForecastWorker { desk, threads: [compute, _], .. } = &mut self.workers[worker.0 as usize];
        let kept = if share == Unbegun::Half { compute.waiting.len() / 2 } else { 0 };
        let mut tasks = TaskList::default();
        for prepared in compute.waiting.drain(kept..) {
            desk.unprepare(prepared, &mut tasks);
        }
        self.later(self.now, Event::Returned { worker, tasks });
    }

    /// Gives free threads of a worker the tasks that wait for them, in their order.
    fn begin(&mut self, worker: WorkerId, class: usize) {
        let ForecastWorker { threads, there, .. } = &mut self.workers[worker.0 as usize];
        let threads = &mut threads[class];
        if threads.free == 0 {
            return;
        }
        let Some(Prepared { task, .. }) = threads.waiting.pop_front() else { return };
        threads.free -= 1;
        let there = there.remove(&task).unwrap_or(self.now);
        let done = self.now.max(there) + nanoseconds(self.estimates.of(task));
        let tasks = [task].into_iter().collect();
        self.later(done, Event::Finished { worker, tasks, timings: Vec::new() });
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds / NANOSECOND) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{Axis, BlockGrid, Element, Fill};
    use crate::graph::ProgramBuilder;
    use crate::ids::StageId;
    use crate::sched::plan::Threads;

    const WORKER: WorkerId = WorkerId(0);

    /// Blocks that are made from nothing, multiplied, and written; and a worker that never begins anything.
    fn player() -> Player {
        let grid = BlockGrid::new(Axis::new(500, 100), Axis::new(100, 100));
        let mut builder = ProgramBuilder::default();
        let a = builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64);
        let square = BlockGrid::new(Axis::new(100, 100), Axis::new(100, 100));
        let b = builder.fill(Fill::Constant(2.0), 0, 0, square, Element::F64);
        let c = builder.gemm(a, b);
        builder.write(c, 0, (0, 0));
        let seat = Seat { threads: Threads { compute: 0, io: 0 }, budget: 1 << 30, may_spill: true };
        Player::new(&Arc::new(builder.finish()), &[seat])
    }

    fn stage(player: &Player, is_it: impl Fn(&crate::graph::Stage) -> bool) -> StageId {
        player.program.stage_ids().find(|id| is_it(player.program.stage(*id))).expect("such a stage")
    }

    #[test]
    fn what_writes_waits_for_other_threads_than_what_computes() {
        let player = player();
        let writes = stage(&player, |stage| stage.kind.is_io());
        let computes = stage(&player, |stage| !stage.kind.is_io() && !stage.kind.is_source());
        let class = |stage| player.class(TaskId::new(stage, 0));
        assert_eq!((class(computes), class(writes)), (0, 1));
    }

    #[test]
    fn what_is_taken_out_of_memory_has_to_be_fetched_again_and_takes_time_if_it_is_written() {
        let mut player = player();
        let block = BlockId { stage: stage(&player, |stage| !stage.kind.is_io()), index: 0 };
        let blocks: TaskList = [block].into_iter().collect();
        let (worker, bytes) = (WORKER, player.bytes(block));
        for (action, seconds) in [
            (Action::Free { worker, blocks: blocks.clone() }, None),
            (Action::Drop { worker, blocks: blocks.clone() }, None),
            (Action::Spill { worker, blocks }, Some(bytes as f64 / BYTES_PER_SECOND)),
        ] {
            player.now = 1000;
            player.fetched.insert((worker, block), 7);
            player.perform(action);
            assert!(player.fetched.is_empty());
            match (player.next(), seconds) {
                (None, None) => {}
                (Some(Event::Spilled { worker: WORKER, block: spilled }), Some(seconds)) => {
                    assert_eq!(spilled, block);
                    assert!((player.now as f64 - 1000.0 - seconds * 1e9).abs() <= 1.0, "{}", player.now);
                }
                _ => panic!("another thing happens"),
            }
        }
    }

    #[test]
    fn the_later_half_of_what_has_not_begun_comes_back_or_all_of_it() {
        for (share, returned) in [(Unbegun::Half, vec![2, 3, 4]), (Unbegun::All, vec![0, 1, 2, 3, 4])] {
            let mut player = player();
            let made = stage(&player, |stage| stage.kind.is_source());
            let tasks: TaskList = (0..5).map(|index| TaskId::new(made, index)).collect();
            let suspects = TaskList::default();
            player.perform(Action::Assign { worker: WORKER, tasks, fetch: Vec::new(), suspects });
            player.perform(Action::TakeBack { worker: WORKER, share });
            let Some(Event::Returned { worker: WORKER, tasks }) = player.next() else { panic!("{share:?}") };
            assert_eq!(tasks.iter().map(|task| task.index).collect::<Vec<_>>(), returned);
        }
    }
}
