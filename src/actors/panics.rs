//! Panics of kernels, turned into messages. Nothing is printed: the message goes to whoever waits for the run.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CAUGHT_HERE: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// Threads that catch their panics note the place instead of printing; others print as before.
fn install_hook() {
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if CAUGHT_HERE.get() {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                PLACE.with(|p| *p.borrow_mut() = place);
            } else {
                before(info);
            }
        }));
    });
}

/// Runs `work`; a panic becomes an error that says what and where.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    CAUGHT_HERE.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CAUGHT_HERE.set(false);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        format!("panicked at {}: {text}", PLACE.with(|p| p.borrow().clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::guard;

    #[test]
    fn a_panic_is_a_message_with_its_place() {
        let message = guard(|| panic!("seven {}", 7)).unwrap_err();
        assert!(message.contains("seven 7") && message.contains("panics.rs"), "{message}");
        assert_eq!(guard(|| 3), Ok(3));
    }
}
