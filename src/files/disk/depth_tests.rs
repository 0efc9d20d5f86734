use super::*;

#[test]
fn tasks_share_what_is_in_flight() {
    let depth = Depth::new(ConcurrencyThresholds::of_requests(), 8);
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
    let depth = Depth::new(ConcurrencyThresholds::of_requests(), 8);
    let active = depth.enter();
    assert_eq!(depth.most(), 0);
    drop([active.request(), active.request(), active.request()]);
    let one = active.request();
    assert_eq!(depth.most(), 3);
    depth.count_anew();
    assert_eq!(depth.most(), 1);
    drop(one);
}
