use super::*;

/// A device that moves `one` bytes a second with one request in flight, and with more what `speedup` makes of it.
struct Device<'a> {
    speedup: &'a dyn Fn(f64) -> f64,
    /// Relative noise of a sample, and the state of its generator.
    noise: f64,
    state: u64,
}

const ONE: f64 = 3e8;
/// Of a sample.
const SECONDS: f64 = 0.05;
const CORES: f64 = 2.0;

impl Device<'_> {
    fn sample(&mut self, depth: usize, idle: f64) -> ConcurrencySample {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let unit = (self.state >> 11) as f64 / (1_u64 << 53) as f64;
        let rate = ONE * (self.speedup)(depth as f64) * (1.0 + self.noise * (2.0 * unit - 1.0));
        ConcurrencySample { bytes: (rate * SECONDS) as u64, seconds: SECONDS, idle, free: CORES }
    }
}

/// The depths that a policy chose, one for each sample.
fn drive(device: &mut Device, start: usize, idle: f64, samples: usize) -> Vec<usize> {
    let mut policy = ConcurrencyPolicy::new(ConcurrencyThresholds::of_requests(), start);
    let mut next = || {
        policy.decide(device.sample(policy.now(), idle));
        policy.now()
    };
    (0..samples).map(|_| next()).collect()
}

fn device<'a>(speedup: &'a dyn Fn(f64) -> f64, noise: f64, seed: u64) -> Device<'a> {
    Device { speedup, noise, state: seed }
}

fn seed() -> u64 {
    let seed = std::env::var("DOLMEN_SEED").map_or(1, |text| text.parse().expect("DOLMEN_SEED is a number"));
    println!("DOLMEN_SEED={seed}");
    seed
}

/// Share of the best rate that the depths of the second half had on average.
fn efficiency(speedup: &dyn Fn(f64) -> f64, depths: &[usize]) -> f64 {
    let late = &depths[depths.len() / 2..];
    let best = (1..=16).map(|depth| speedup(f64::from(depth))).fold(0.0, f64::max);
    late.iter().map(|depth| speedup(*depth as f64)).sum::<f64>() / late.len() as f64 / best
}

#[test]
fn a_device_that_saturates_is_saturated_and_no_more() {
    let speedup = |depth: f64| depth.min(8.0);
    let depths = drive(&mut device(&speedup, 0.0, 1), 2, 1.0, 2000);
    assert!(efficiency(&speedup, &depths) > 0.95, "{depths:?}");
    let usual = *depths.last().unwrap();
    assert!((8..=12).contains(&usual), "ends with {usual}");
}

#[test]
fn a_device_that_gains_from_every_request_gets_the_most_and_never_more() {
    let depths = drive(&mut device(&|depth| depth, 0.0, 1), 4, 1.0, 400);
    assert_eq!(depths.iter().max(), Some(&16));
    assert!(efficiency(&|depth| depth, &depths) > 0.9);
}

#[test]
fn a_device_that_degrades_gets_one_request() {
    let speedup = |depth: f64| 1.0 / depth.sqrt();
    let depths = drive(&mut device(&speedup, 0.0, 1), 4, 1.0, 2000);
    assert!(efficiency(&speedup, &depths) > 0.95, "{depths:?}");
    assert_eq!(depths.iter().min(), Some(&1));
}

#[test]
fn noise_does_not_lead_astray() {
    let seed = seed();
    let saturates = |depth: f64| depth.min(6.0);
    let degrades = |depth: f64| if depth <= 4.0 { depth } else { 16.0 / depth };
    for (name, speedup) in [("saturates", &saturates as &dyn Fn(f64) -> f64), ("degrades", &degrades)] {
        let mut sum = 0.0;
        for round in 0..20 {
            let depths = drive(&mut device(speedup, 0.2, seed + round), 4, 1.0, 4000);
            let share = efficiency(speedup, &depths);
            assert!(share > 0.6, "{name}, round {round}: {share}");
            sum += share / 20.0;
        }
        assert!(sum > 0.85, "{name}: {sum} of the best rate on average");
    }
}

#[test]
fn nothing_is_tried_while_nobody_waits() {
    let depths = drive(&mut device(&|depth| depth, 0.0, 1), 4, 0.0, 400);
    assert!(depths.iter().all(|depth| *depth == 4));
}

#[test]
fn trials_become_rare_where_they_do_not_help() {
    let depths = drive(&mut device(&|_| 1.0, 0.0, 1), 4, 1.0, 4000);
    let away = depths[2000..].iter().filter(|depth| **depth != 4).count();
    assert!(away < 100, "{away} of 2000 samples on trial");
}

/// A source from which tasks read, and threads that compute with what they read: so many bytes a second at the most.
struct Mixed<'a> {
    source: &'a dyn Fn(f64) -> f64,
    /// Bytes a second that computing takes, as multiples of what one task reads.
    compute: f64,
}

impl Mixed<'_> {
    fn sample(&self, tasks: usize) -> ConcurrencySample {
        let (read, taken) = ((self.source)(tasks as f64), self.compute);
        let rate = ONE * read.min(taken);
        let idle = 2.0 * (1.0 - read / taken).max(0.0);
        ConcurrencySample { bytes: (rate * SECONDS) as u64, seconds: SECONDS, idle, free: CORES }
    }
}

/// The numbers of I/O tasks that were chosen, one for each sample.
fn mix(mixed: &Mixed, samples: usize) -> Vec<usize> {
    let mut policy = ConcurrencyPolicy::new(ConcurrencyThresholds::of_tasks(16), 4);
    let mut next = || {
        policy.decide(mixed.sample(policy.now()));
        policy.now()
    };
    (0..samples).map(|_| next()).collect()
}

#[test]
fn a_source_slow_by_latency_gets_the_most_tasks_soon() {
    let tasks = mix(&Mixed { source: &|tasks| tasks, compute: 100.0 }, 100);
    assert!(tasks[15..60].contains(&16), "{tasks:?}");
    assert!(tasks.iter().all(|tasks| *tasks <= 16));
}

#[test]
fn a_source_slow_by_bandwidth_keeps_four() {
    let tasks = mix(&Mixed { source: &|tasks| tasks.min(4.0), compute: 100.0 }, 1000);
    let more = tasks[500..].iter().filter(|tasks| **tasks != 4).count();
    assert!(more < 50, "{more} of 500 samples on trial");
}

#[test]
fn tasks_are_just_as_many_as_computing_needs() {
    let tasks = mix(&Mixed { source: &|tasks| tasks, compute: 8.0 }, 1000);
    let usual = tasks[500..].iter().filter(|tasks| (8..=9).contains(*tasks)).count();
    assert!(usual > 450, "{tasks:?}");
}

#[test]
fn tasks_become_fewer_when_nobody_waits_and_requests_do_not() {
    for (thresholds, end) in
        [(ConcurrencyThresholds::of_tasks(16), 4), (ConcurrencyThresholds::of_requests(), 16)]
    {
        let mut policy = ConcurrencyPolicy::new(thresholds, 16);
        let idle = Mixed { source: &|_| 10.0, compute: 1.0 };
        let reasons: Vec<Because> =
            (0..100).filter_map(|_| policy.decide(idle.sample(policy.now()))).collect();
        assert_eq!(policy.now(), end);
        assert!(reasons.iter().all(|because| *because == Because::NobodyWaits));
    }
}

#[test]
fn a_worker_that_may_have_few_tasks_never_has_more() {
    for most in 1..=4 {
        let mut policy = ConcurrencyPolicy::new(ConcurrencyThresholds::of_tasks(most), 4);
        let slow = Mixed { source: &|tasks| tasks, compute: 100.0 };
        for _ in 0..100 {
            policy.decide(slow.sample(policy.now()));
            assert_eq!(policy.now(), most);
        }
    }
}

/// Those for the tasks of a worker, which judge each pair of samples from the first one on.
fn pairs() -> ConcurrencyThresholds {
    ConcurrencyThresholds { warm_up: 0, ..ConcurrencyThresholds::of_tasks(16) }
}

/// What a policy for the tasks of a worker says to samples, two at a time, and the number that follows.
fn judge(policy: &mut ConcurrencyPolicy, samples: [ConcurrencySample; 2]) -> (Option<Because>, usize) {
    assert_eq!(policy.decide(samples[0]), None, "one sample says nothing");
    let because = policy.decide(samples[1]);
    (because, policy.now())
}

/// Of a second in which so many bytes move.
fn second(bytes: u64, idle: f64) -> ConcurrencySample {
    ConcurrencySample { bytes, seconds: 1.0, idle, free: CORES }
}

#[test]
fn samples_count_by_their_seconds() {
    let mut policy = ConcurrencyPolicy::new(pairs(), 6);
    let short = ConcurrencySample { seconds: 0.01, ..second(1, 0.5) };
    assert_eq!(judge(&mut policy, [second(100, 0.0), short]), (Some(Because::NobodyWaits), 4));
    let mut policy = ConcurrencyPolicy::new(pairs(), 4);
    assert_eq!(judge(&mut policy, [second(100, 1.0); 2]), (Some(Because::Waiting), 6));
    // A fifth more in a tenth of the time.
    let faster = ConcurrencySample { seconds: 0.1, ..second(12, 1.0) };
    assert_eq!(judge(&mut policy, [faster; 2]), (Some(Because::Waiting), 9));
}

#[test]
fn a_trial_has_to_bring_a_twentieth() {
    for (bytes, is_enough) in [(1030, false), (1049, false), (1050, true)] {
        let mut policy = ConcurrencyPolicy::new(pairs(), 4);
        assert_eq!(judge(&mut policy, [second(1000, 0.06); 2]), (Some(Because::Waiting), 6));
        let wanted = if is_enough { (Some(Because::Waiting), 9) } else { (Some(Because::NoGain), 4) };
        assert_eq!(judge(&mut policy, [second(bytes, 0.06); 2]), wanted, "{bytes}");
    }
}

#[test]
fn idle_threads_at_the_threshold_do_not_wait() {
    let mut policy = ConcurrencyPolicy::new(pairs(), 6);
    assert_eq!(judge(&mut policy, [second(1, 0.05); 2]), (Some(Because::NobodyWaits), 4));
}

#[test]
fn rests_become_twice_as_long() {
    let mut policy = ConcurrencyPolicy::new(pairs(), 4);
    let same = || second(100, 1.0);
    for rest in [16, 32, 64, 128, 256, 256] {
        assert_eq!(judge(&mut policy, [same(); 2]).0, Some(Because::Waiting));
        assert_eq!(judge(&mut policy, [same(); 2]), (Some(Because::NoGain), 4));
        for _ in 0..rest {
            assert_eq!(policy.decide(same()), None);
        }
    }
}

#[test]
fn at_either_end_the_other_way_is_tried() {
    for (start, next) in [(4, 6), (16, 10)] {
        let mut policy = ConcurrencyPolicy::new(pairs(), start);
        assert_eq!(judge(&mut policy, [second(100, 1.0); 2]), (Some(Because::Waiting), next));
    }
}

#[test]
fn what_is_within_the_noise_is_no_gain() {
    let seed = seed();
    // What four tasks move, more do not; single samples differ by up to nine tenths.
    let tasks = |noise: f64, seed: u64| {
        let mut policy = ConcurrencyPolicy::new(ConcurrencyThresholds::of_tasks(16), 4);
        let mut source = device(&|_| 4.0, noise, seed);
        let mut next = || {
            policy.decide(source.sample(policy.now(), 1.0));
            policy.now()
        };
        (0..100).map(|_| next()).collect::<Vec<_>>()
    };
    let more: usize =
        (0..100).map(|round| tasks(0.9, seed + round).iter().filter(|tasks| **tasks > 6).count()).sum();
    assert!(more < 800, "{more} of 10 000 samples with more than a trial of six");
}

#[test]
fn the_first_samples_are_not_what_others_are_measured_by() {
    let mut policy = ConcurrencyPolicy::new(ConcurrencyThresholds::of_tasks(16), 4);
    for sample in 0..100 {
        let rate = if sample < 2 { 0.3 * ONE } else { ONE };
        policy.decide(ConcurrencySample {
            bytes: (rate * SECONDS) as u64,
            seconds: SECONDS,
            idle: 1.0,
            free: CORES,
        });
        assert!(policy.now() <= 6, "{} after sample {sample}", policy.now());
    }
}

#[test]
fn who_waits_for_cores_gets_no_more_tasks() {
    for (free, end, why) in
        [(0.0, 4, Because::NoCoreIsFree), (0.04, 4, Because::NoCoreIsFree), (0.5, 16, Because::Waiting)]
    {
        let mut policy = ConcurrencyPolicy::new(ConcurrencyThresholds::of_tasks(16), 9);
        let source = Mixed { source: &|tasks| tasks, compute: 100.0 };
        let mut next = || policy.decide(ConcurrencySample { free, ..source.sample(policy.now()) });
        let reasons: Vec<Because> = (0..20).filter_map(|_| next()).collect();
        assert_eq!(policy.now(), end, "{free} cores are free");
        assert_eq!(reasons[0], why);
    }
}

#[test]
fn a_rate_is_of_seconds_in_which_something_went_on() {
    let sample = |seconds| ConcurrencySample { bytes: 10, seconds, idle: 0.0, free: 0.0 }.rate();
    assert_eq!(sample(2.0), 5.0);
}

#[test]
fn samples_of_one_number_differ_and_those_of_two_tell_nothing() {
    let mut noise = Noise::default();
    noise.add(0.0);
    noise.add(0.0);
    assert_eq!(noise.share(), 0.0);
    noise.interrupt();
    noise.add(50.0);
    assert_eq!(noise.share(), 0.0);
    noise.add(100.0);
    assert_eq!(noise.share(), 0.5);
    noise.add(100.0);
    assert_eq!(noise.share(), 0.375);
}

#[test]
fn tasks_are_tried_for_a_shorter_time_than_requests_and_rest_longer() {
    let (tasks, requests) = (ConcurrencyThresholds::of_tasks(64), ConcurrencyThresholds::of_requests());
    assert!(tasks.warm_up < requests.warm_up && tasks.samples < requests.samples);
    assert!(tasks.rest > requests.rest && tasks.idle < requests.idle);
}
