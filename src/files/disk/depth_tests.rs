use super::*;

/// A device that moves `one` bytes a second with one request in flight, and with more what `speedup` makes of it.
struct Device<'a> {
    speedup: &'a dyn Fn(f64) -> f64,
    /// Relative noise of a sample, and the state of its generator.
    noise: f64,
    state: u64,
}

const ONE: f64 = 3e8;

impl Device<'_> {
    fn sample(&mut self, depth: usize, idle: f64) -> DepthSample {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let unit = (self.state >> 11) as f64 / (1_u64 << 53) as f64;
        let rate = ONE * (self.speedup)(depth as f64) * (1.0 + self.noise * (2.0 * unit - 1.0));
        DepthSample { bytes: (rate * SAMPLE_SECONDS) as u64, seconds: SAMPLE_SECONDS, idle }
    }
}

/// The depths that a policy chose, one for each sample.
fn drive(device: &mut Device, start: usize, idle: f64, samples: usize) -> Vec<usize> {
    let mut policy = DepthPolicy::new(DepthThresholds::default(), start);
    (0..samples).map(|_| policy.decide(device.sample(policy.depth(), idle))).collect()
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

#[test]
fn tasks_share_what_is_in_flight() {
    let depth = Depth::new(DepthThresholds::default(), 8);
    let one = depth.enter();
    assert_eq!(one.share(), 8);
    let others: Vec<_> = (0..2).map(|_| depth.enter()).collect();
    assert_eq!(one.share(), 2);
    drop(others);
    assert_eq!(one.share(), 8);
    let crowd: Vec<_> = (0..20).map(|_| depth.enter()).collect();
    assert_eq!(crowd[0].share(), 1);
    assert_eq!(depth.current(), 8);
}

#[test]
fn requests_in_flight_are_counted() {
    let depth = Depth::new(DepthThresholds::default(), 8);
    let active = depth.enter();
    assert_eq!(depth.most(), 0);
    drop([active.request(), active.request(), active.request()]);
    let one = active.request();
    assert_eq!(depth.most(), 3);
    depth.count_anew();
    assert_eq!(depth.most(), 1);
    drop(one);
}
