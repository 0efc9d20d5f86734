//! What two processes tell each other first, and who is let in. Pure.
//!
//! Hello and answer are JSON, each the message of one frame without payload. What a later version adds is skipped, so
//! that processes of different versions can tell each other that they are.

use crate::life::Life;
use crate::limits::{LONGEST_HELLO, LONGEST_NAME, LONGEST_REASON};
use crate::role::Role;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the handshake and of all that follows. Peers of different versions do not talk.
pub const PROTOCOL: u32 = 3;

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// What it is to the cluster.
    pub role: Role,
    /// What users call it: letters, digits and `._-`, at most [`LONGEST_NAME`] bytes.
    pub name: String,
    /// Its life.
    pub life: Life,
    /// Its release, which must be the same on both ends.
    pub release: String,
    /// Fingerprint of the operations that it knows, which must be the same on both ends.
    pub operations: String,
    /// What its kernels' bits depend on. Must be the same on both ends unless machines may be mixed.
    pub kernels: String,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Small messages with the scheduler.
    Control,
    /// Blocks of somebody who has them.
    Blocks,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Purpose::Control => "control",
            Purpose::Blocks => "blocks",
        })
    }
}

/// The first message of whoever connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub protocol: u32,
    pub purpose: Purpose,
    /// Whom it wants to meet, if it knows.
    pub for_life: Option<Life>,
    #[serde(flatten)]
    pub from: Introduction,
}

/// The first message of whoever listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Welcome {
        /// After so much silence either side gives the other up.
        lost_after_ms: u64,
        #[serde(flatten)]
        from: Introduction,
    },
    /// One line.
    Refused(String),
}

/// What is read first, whatever else there is.
#[derive(Deserialize)]
struct Version {
    protocol: u32,
}

impl Hello {
    /// # Errors
    /// If it is no hello of this version, with the reason.
    pub fn decode(bytes: &[u8]) -> Result<Hello, String> {
        let malformed = |error| format!("malformed hello: {error}");
        let Version { protocol } = serde_json::from_slice(bytes).map_err(malformed)?;
        if protocol != PROTOCOL {
            return Err(format!("protocol {protocol}, here {PROTOCOL}: run the same release on both ends"));
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }
}

/// The bytes of a hello or an answer.
///
/// # Errors
/// If it is longer than [`LONGEST_HELLO`].
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, String> {
    let bytes = serde_json::to_vec(message).map_err(|error| error.to_string())?;
    match bytes.len() <= LONGEST_HELLO as usize {
        true => Ok(bytes),
        false => Err(format!("an introduction of {} bytes, more than {LONGEST_HELLO}", bytes.len())),
    }
}

impl Introduction {
    /// Whether whoever says this hello may come in here. `proven` is the role in its certificate, if it has one.
    ///
    /// # Errors
    /// The reason for which it may not, in one line.
    pub(crate) fn admit(&self, hello: &Hello, proven: Option<Role>, mixed: bool) -> Result<(), String> {
        let from = &hello.from;
        if let Some(proven) = proven.filter(|proven| *proven != from.role) {
            return Err(format!("it calls itself a {} with the key of a {proven}", from.role));
        }
        if !may_connect(from.role, self.role, hello.purpose) {
            return Err(format!("a {} takes no {} connection of a {}", self.role, hello.purpose, from.role));
        }
        if !is_name(&from.name) {
            return Err(format!(
                "a name has 1 to {LONGEST_NAME} letters, digits, dots, dashes and underlines"
            ));
        }
        if from.release != self.release {
            return Err(format!(
                "release {}, here {}: run the same release on both ends",
                from.release, self.release
            ));
        }
        if from.operations != self.operations {
            return Err("its operations are others than here: run the same program on both ends".into());
        }
        if from.kernels != self.kernels && !mixed {
            return Err(format!(
                "its kernels may give other bits ({}, here {}): use machines of one type, or allow mixed machines",
                from.kernels, self.kernels
            ));
        }
        if hello.for_life.is_some_and(|life| life != self.life) {
            return Err("it looks for an earlier process at this address".into());
        }
        Ok(())
    }
}

/// Workers and clients report to the scheduler; they give blocks to each other.
fn may_connect(from: Role, to: Role, purpose: Purpose) -> bool {
    let holds_blocks = |role| matches!(role, Role::Worker | Role::Client);
    match purpose {
        Purpose::Control => holds_blocks(from) && to == Role::Scheduler,
        Purpose::Blocks => holds_blocks(from) && holds_blocks(to),
    }
}

/// Whether this can be the name of a process.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(good)
}

/// A reason that a stranger gave, fit to be shown: one line of bounded length.
pub(crate) fn shown(reason: &str) -> String {
    let clean = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out = String::new();
    for c in clean {
        if out.len() + c.len_utf8() > LONGEST_REASON {
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::for_seeds;

    fn worker() -> Introduction {
        let text = |text: &str| text.to_string();
        Introduction {
            role: Role::Worker,
            name: text("n3"),
            life: Life(3),
            release: text("0.1.0"),
            operations: text("ab"),
            kernels: text("faer"),
        }
    }

    fn scheduler() -> Introduction {
        Introduction { role: Role::Scheduler, name: "s".into(), life: Life(1), ..worker() }
    }

    fn hello() -> Hello {
        Hello { protocol: PROTOCOL, purpose: Purpose::Control, for_life: None, from: worker() }
    }

    #[test]
    fn who_may_connect_to_whom_and_for_what() {
        use Purpose::{Blocks, Control};
        use Role::{Client, Scheduler, Worker};
        let allowed = [
            (Worker, Scheduler, Control),
            (Client, Scheduler, Control),
            (Worker, Worker, Blocks),
            (Worker, Client, Blocks),
            (Client, Worker, Blocks),
            (Client, Client, Blocks),
        ];
        for from in Role::ALL {
            for to in Role::ALL {
                for purpose in [Control, Blocks] {
                    let expected = allowed.contains(&(from, to, purpose));
                    assert_eq!(may_connect(from, to, purpose), expected, "{from} to {to} for {purpose}");
                }
            }
        }
    }

    #[test]
    fn each_difference_has_its_reason() {
        let why = |hello: &Hello| scheduler().admit(hello, Some(Role::Worker), false).unwrap_err();
        let from = |change: fn(&mut Hello)| {
            let mut hello = hello();
            change(&mut hello);
            hello
        };
        assert_eq!(scheduler().admit(&hello(), Some(Role::Worker), false), Ok(()));
        assert!(why(&from(|hello| hello.from.role = Role::Client)).contains("with the key of a worker"));
        assert!(why(&from(|hello| hello.purpose = Purpose::Blocks)).contains("takes no blocks connection"));
        assert!(why(&from(|hello| hello.from.release = "0.2.0".into())).contains("same release"));
        assert!(why(&from(|hello| hello.from.operations = "cd".into())).contains("operations"));
        assert!(why(&from(|hello| hello.from.name = "a\nb".into())).contains("name"));
        assert!(why(&from(|hello| hello.from.name = "x".repeat(65))).contains("name"));
        assert!(why(&from(|hello| hello.for_life = Some(Life(9)))).contains("earlier"));
        assert_eq!(
            scheduler().admit(&from(|hello| hello.for_life = Some(Life(1))), Some(Role::Worker), false),
            Ok(())
        );
        let other = from(|hello| hello.from.kernels = "blas".into());
        assert!(why(&other).contains("other bits"));
        assert_eq!(scheduler().admit(&other, Some(Role::Worker), true), Ok(()));
    }

    #[test]
    fn hello_and_answer_are_read_as_written_and_other_versions_are_named() {
        assert_eq!(Hello::decode(&encode(&hello()).unwrap()), Ok(hello()));
        let welcome = Answer::Welcome { lost_after_ms: 15_000, from: scheduler() };
        for answer in [welcome, Answer::Refused("no".into())] {
            assert_eq!(serde_json::from_slice::<Answer>(&encode(&answer).unwrap()).unwrap(), answer);
        }
        let later = br#"{"protocol": 4, "from": ["all", "is", "new"]}"#;
        assert!(Hello::decode(later).unwrap_err().starts_with("protocol 4, here 3"));
        let long = Introduction { kernels: "x".repeat(5000), ..worker() };
        assert!(encode(&long).unwrap_err().contains("more than 4096"));
    }

    /// The format is a promise: programs in other languages write it.
    #[test]
    fn the_bytes_of_a_hello_never_change() {
        let json = concat!(
            r#"{"protocol":3,"purpose":"control","for_life":null,"role":"worker","name":"n3","#,
            r#""life":"0000000000000003","release":"0.1.0","operations":"ab","kernels":"faer"}"#
        );
        assert_eq!(String::from_utf8(encode(&hello()).unwrap()).unwrap(), json);
        let welcome = Answer::Welcome { lost_after_ms: 5, from: scheduler() };
        let json = String::from_utf8(encode(&welcome).unwrap()).unwrap();
        assert!(
            json.starts_with(r#"{"welcome":{"lost_after_ms":5,"role":"scheduler","name":"s","#),
            "{json}"
        );
        assert_eq!(encode(&Answer::Refused("no".into())).unwrap(), br#"{"refused":"no"}"#);
    }

    #[test]
    fn damaged_hellos_are_refused_or_read_never_more() {
        let good = encode(&hello()).unwrap();
        for_seeds(5000, |random| {
            let mut bytes = good.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(random.below(bytes.len() as u64 * 2) as usize);
            let _ = Hello::decode(&bytes);
        });
        assert!(Hello::decode("[".repeat(4096).as_bytes()).is_err());
        assert!(Hello::decode(format!(r#"{{"protocol":1,"x":{}"#, "[".repeat(4000)).as_bytes()).is_err());
    }

    #[test]
    fn what_a_stranger_says_is_shown_as_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}[2J"), "a b [2J");
        assert_eq!(shown(&"x".repeat(5000)), "x".repeat(LONGEST_REASON));
        assert_eq!(shown(&format!("x{}", "ä".repeat(5000))).len(), LONGEST_REASON - 1);
    }
}
