//! A number for each life of a process.

use crate::random::random_u64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A random number that a process draws when it starts. A process that was started again under the same name, or
/// that got the port of another, is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life(pub u64);

impl Life {
    /// A new life.
    pub fn random() -> Life {
        Life(random_u64())
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// As 16 hexadecimal digits: not every language has integers of 64 bits in its JSON.
impl Serialize for Life {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Life {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Life, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(&text, 16).ok().filter(|_| digits);
        number.map(Life).ok_or_else(|| de::Error::custom("a life is 16 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_sixteen_hexadecimal_digits_and_nothing_else() {
        let read = |text: &str| serde_json::from_str::<Life>(&format!("\"{text}\"")).ok();
        assert_eq!(read("00000000000000ff"), Some(Life(255)));
        for text in ["ff", "+0000000000000ff", "00000000000000fg", "000000000000000ff", ""] {
            assert_eq!(read(text), None, "{text}");
        }
        let life = Life::random();
        assert_eq!(read(&life.to_string()), Some(life));
    }
}
