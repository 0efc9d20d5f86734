//! Machines: frames on the wire and the scaling policy. Cannot name a task.
