use super::*;
use tokio::runtime::Builder;

/// A frame of the answer to request 1.
fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let message = Reply { number: 1, kind }.encode();
    let header = FrameHeader::new(Flags::NONE, message.len(), payload).unwrap();
    let mut bytes = vec![0; FrameHeader::required_bytes()];
    header.write_to(&mut bytes);
    [&bytes, &message[..], payload].concat()
}

/// How many places there are after each of these frames, which answer a request for two bytes.
fn places_after(frames: &[Vec<u8>]) -> Vec<usize> {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let link = Link::new(Duration::ZERO);
    runtime.block_on(async {
        link.places.acquire().await.unwrap().forget();
        link.begin(1, Pull::new(&[], Filling { buffer: vec![0; 2], done: |_: Vec<u8>, _| {} }));
        let mut places = Vec::new();
        for bytes in frames {
            link.take_frame(&mut FrameReader::new(&bytes[..], Duration::from_secs(60))).await.unwrap();
            places.push(link.places.available_permits());
        }
        places
    })
}

#[test]
fn a_block_gives_its_place_back_once_when_it_has_come_or_is_waited_for() {
    let all = PULLS_IN_FLIGHT;
    let part = frame(Kind::Part, b"a");
    let last = frame(Kind::Last, b"b");
    assert_eq!(places_after(&[part.clone(), last.clone()]), [all - 1, all]);
    assert_eq!(places_after(&[frame(Kind::Waits, b""), part, last]), [all; 3]);
    assert_eq!(places_after(&[frame(Kind::Failed("no".into()), b"")]), [all]);
}
