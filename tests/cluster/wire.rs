//! The examples of docs/protocol.md are what the program sends.

use cluster::frame::{Flags, FrameHeader};
use dolmen::ids::{RunId, StageId, TaskId};
use dolmen::protocol::{BlockKey, FromWorkerProcess, Seats, encode};
use dolmen::sched::{Seat, Threads};

/// The bytes of an example: hexadecimal numbers before a bar, in the indented lines below its title.
#[track_caller]
fn example(title: &str) -> Vec<u8> {
    let page = include_str!("../../docs/protocol.md");
    let (_, below) = page.split_once(&format!("**Example: {title}.**")).expect("an example of this title");
    let lines = below.lines().skip_while(|line| !line.contains('|')).take_while(|line| line.contains('|'));
    let bytes = lines.filter_map(|line| line.split('|').next()).flat_map(str::split_whitespace);
    bytes.map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect()
}

#[test]
fn the_examples_of_the_protocol_are_what_is_sent() {
    let threads = Threads { compute: 2, io: 4 };
    let seat = Seat { threads, budget: 400 << 20, may_spill: true };
    let enlist = FromWorkerProcess::Enlist {
        seats: Seats { large: seat, small: None },
        depot: ([127, 0, 0, 1], 40123).into(),
        offers: Vec::new(),
    };
    let message = encode(&enlist).unwrap();
    assert_eq!(message, example("a worker enlists"));
    let mut header = [0; FrameHeader::required_bytes()];
    FrameHeader::new(Flags::NONE, message.len(), &[]).unwrap().write_to(&mut header);
    assert_eq!(header[..], example("the frame of this message"));
    let key = BlockKey { run: RunId(7), block: TaskId::new(StageId(2), 300) };
    assert_eq!(encode(&key).unwrap(), example("the key of a block"));
}
