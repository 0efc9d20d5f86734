use super::Threads;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};

#[test]
fn threads_work_beside_the_one_that_asks() {
    let threads = Threads::start(3);
    // Nobody passes before all four are there.
    let all = Barrier::new(4);
    let numbers = Mutex::new(Vec::new());
    let own = threads.help(
        3,
        &|number| {
            all.wait();
            numbers.lock().unwrap().push(number);
        },
        || {
            all.wait();
            "own"
        },
    );
    let mut numbers = numbers.into_inner().unwrap();
    numbers.sort_unstable();
    assert_eq!((own, numbers), ("own", vec![1, 2, 3]));
}

#[test]
fn what_no_thread_has_begun_is_taken_back() {
    let threads = Threads::start(1);
    let begun = Barrier::new(3);
    let go = Barrier::new(2);
    std::thread::scope(|scope| {
        // The only thread is busy until `go`.
        let other = scope.spawn(|| {
            threads.help(
                1,
                &|_| {
                    begun.wait();
                    go.wait();
                },
                || begun.wait(),
            );
        });
        begun.wait();
        let called = AtomicUsize::new(0);
        let work = |_| {
            called.fetch_add(1, Ordering::Relaxed);
        };
        threads.help(1, &work, || ());
        assert_eq!(called.into_inner(), 0);
        go.wait();
        other.join().unwrap();
    });
}

#[test]
fn without_threads_the_one_that_asks_does_it_all() {
    assert_eq!(Threads::start(0).help(4, &|_| panic!("there are no threads"), || 7), 7);
}

#[test]
fn many_ask_at_once() {
    let threads = Threads::start(4);
    let rounds = if cfg!(miri) { 5 } else { 500 };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    // Gone when the call returns: whoever came later would write into what was freed.
                    let left = AtomicUsize::new(100);
                    let take = || {
                        while left
                            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                            .is_ok()
                        {}
                    };
                    threads.help(4, &|_| take(), take);
                    assert_eq!(left.into_inner(), 0);
                }
            });
        }
    });
}

#[test]
fn a_panic_goes_to_the_one_that_asked() {
    let threads = Threads::start(2);
    let begun = Barrier::new(2);
    let ask = |work: &(dyn Fn(usize) + Sync)| {
        catch_unwind(AssertUnwindSafe(|| threads.help(1, work, || begun.wait())))
            .map(|_| ())
            .map_err(|panic| *panic.downcast::<&str>().unwrap())
    };
    let throw = |_| {
        begun.wait();
        panic!("thrown by a thread");
    };
    assert_eq!(ask(&throw), Err("thrown by a thread"));
    // The thread is still there, and so is what it borrows while the one that asks unwinds.
    assert_eq!(
        ask(&|_| {
            begun.wait();
        }),
        Ok(())
    );
    let ended = AtomicUsize::new(0);
    let work = |_| {
        begun.wait();
        ended.fetch_add(1, Ordering::Relaxed);
    };
    let own = || {
        begun.wait();
        panic!("thrown by the one that asks");
    };
    let panic = catch_unwind(AssertUnwindSafe(|| threads.help(1, &work, own))).unwrap_err();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "thrown by the one that asks");
    assert_eq!(ended.into_inner(), 1);
}
