//! One block in, one block out; no task, no network, no clock.
