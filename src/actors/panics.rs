//! Panics of tasks, turned into messages for whoever waits for the run.
//!
//! The panic hook of the process is not ours: it prints what it prints. Only a program that owns its process may give
//! it away with [`tell_panics`].

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CAUGHT_HERE: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// For programs that own their process: from now on panics of tasks are not printed, and the error of the run says
/// where they happened instead. All other panics go to the hook that is there now.
///
/// A library that uses sessions should leave this to the program.
pub fn tell_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if CAUGHT_HERE.get() {
                PLACE.set(info.location().map(ToString::to_string));
            } else {
                before(info);
            }
        }));
    });
}

/// Runs `work`; a panic becomes an error that says what, and where if that was asked for.
pub(super) fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    CAUGHT_HERE.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CAUGHT_HERE.set(false);
    result.map_err(|payload| {
        let text = text_of(&*payload);
        match PLACE.take() {
            Some(place) => format!("panicked at {place}: {text}"),
            None => format!("panicked: {text}"),
        }
    })
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::{guard, tell_panics};

    #[test]
    fn a_panic_is_a_message_with_its_place() {
        tell_panics();
        let message = guard(|| panic!("seven {}", 7)).unwrap_err();
        assert!(message.contains("seven 7") && message.contains("panics.rs"), "{message}");
        assert_eq!(guard(|| 3), Ok(3));
    }
}
