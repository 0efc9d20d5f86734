//! The header of a `.npy` file (NumPy Enhancement Proposal 1, versions 1.0 to 3.0). Bytes in, struct out.

use crate::files::disk::PAGE;
use crate::files::dtype::DType;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    pub dtype: DType,
    pub big_endian: bool,
    pub fortran_order: bool,
    pub shape: Vec<u64>,
    /// Where the elements begin.
    pub data: u64,
}

/// What is wrong with a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HeaderError {
    Malformed(String),
    DType(String),
}

const MAGIC: &[u8] = b"\x93NUMPY";
/// No header that NumPy writes for numbers comes near this.
const LONGEST: usize = 1 << 16;

fn malformed<T>(why: impl Into<String>) -> Result<T, HeaderError> {
    Err(HeaderError::Malformed(why.into()))
}

impl Header {
    /// The most bytes from the start of a file that [`parse`](Self::parse) wants to see.
    pub const LONGEST: usize = LONGEST + 12;

    /// Parses the first bytes of a file: all of it, or at least [`Header::LONGEST`] bytes.
    pub fn parse(start: &[u8]) -> Result<Header, HeaderError> {
        let Some(rest) = start.strip_prefix(MAGIC) else { return malformed("it does not begin as one") };
        let (length, offset) = match rest {
            [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10),
            [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12),
            [version, ..] if *version > 3 => return malformed(format!("version {version} is not known")),
            _ => return malformed("the header is cut off"),
        };
        if length > LONGEST {
            return malformed(format!("a header of {length} bytes"));
        }
        let Some(text) = start.get(offset..offset + length) else {
            return malformed("the header is cut off");
        };
        let Ok(text) = std::str::from_utf8(text) else { return malformed("the header is not text") };
        Dict::parse(text)?.header((offset + length) as u64)
    }

    /// Elements in all, if that is a number.
    pub fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, length| product.checked_mul(*length))
    }

    /// The header of a file of ours: version 1.0, little endian, C order, elements from the second page on, so that
    /// blocks of whole pages in memory are whole pages of the file.
    pub fn write(element: crate::array::Element, shape: &[u64]) -> Vec<u8> {
        let lengths: Vec<String> = shape.iter().map(u64::to_string).collect();
        let comma = if shape.len() == 1 { "," } else { "" };
        let code = element.bytes();
        let dict = format!(
            "{{'descr': '<f{code}', 'fortran_order': False, 'shape': ({}{comma}), }}",
            lengths.join(", ")
        );
        let unpadded = MAGIC.len() + 4 + dict.len() + 1;
        let length = dict.len() + 1 + (unpadded.next_multiple_of(PAGE) - unpadded);
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((length as u16).to_le_bytes());
        bytes.extend(dict.as_bytes());
        bytes.resize(MAGIC.len() + 4 + length - 1, b' ');
        bytes.push(b'\n');
        bytes
    }
}

/// The Python dictionary in a header.
#[derive(Default)]
struct Dict {
    descr: Option<String>,
    fortran_order: Option<bool>,
    shape: Option<Vec<u64>>,
}

impl Dict {
    fn parse(text: &str) -> Result<Dict, HeaderError> {
        let mut dict = Dict::default();
        let mut cursor = Cursor(text.trim_matches([' ', '\n', '\0']));
        cursor.expect('{')?;
        while !cursor.eat('}') {
            let key = cursor.quoted()?;
            cursor.expect(':')?;
            match key {
                "descr" => dict.descr = Some(cursor.descr()?),
                "fortran_order" => dict.fortran_order = Some(cursor.boolean()?),
                "shape" => dict.shape = Some(cursor.tuple()?),
                other => return malformed(format!("unknown key {other:?} in the header")),
            }
            if !cursor.eat(',') {
                cursor.expect('}')?;
                break;
            }
        }
        if cursor.0.trim().is_empty() { Ok(dict) } else { malformed("text behind the header") }
    }

    fn header(self, data: u64) -> Result<Header, HeaderError> {
        let (Some(descr), Some(fortran_order), Some(shape)) = (self.descr, self.fortran_order, self.shape)
        else {
            return malformed("the header lacks descr, fortran_order or shape");
        };
        let native = cfg!(target_endian = "big");
        let (code, big_endian) = match descr.split_at_checked(1) {
            Some((">", code)) => (code, true),
            Some(("<", code)) => (code, false),
            Some(("=" | "|", code)) => (code, native),
            _ => (descr.as_str(), native),
        };
        let Some(dtype) = DType::parse(code) else { return Err(HeaderError::DType(descr)) };
        Ok(Header { dtype, big_endian, fortran_order, shape, data })
    }
}

/// What is left of the text.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn eat(&mut self, c: char) -> bool {
        self.0 = self.0.trim_start();
        self.0.strip_prefix(c).is_some_and(|rest| {
            self.0 = rest;
            true
        })
    }

    fn expect(&mut self, c: char) -> Result<(), HeaderError> {
        if self.eat(c) { Ok(()) } else { malformed(format!("{c:?} is missing in the header")) }
    }

    fn quoted(&mut self) -> Result<&'a str, HeaderError> {
        let quote = if self.eat('\'') {
            '\''
        } else {
            self.expect('"')?;
            '"'
        };
        let Some((text, rest)) = self.0.split_once(quote) else { return malformed("a quote is not closed") };
        self.0 = rest;
        Ok(text)
    }

    /// A type: a quoted code, or for structured types a list, which is taken as it is for the message.
    fn descr(&mut self) -> Result<String, HeaderError> {
        if self.0.trim_start().starts_with('[') {
            return Err(HeaderError::DType("a structure".into()));
        }
        self.quoted().map(str::to_string)
    }

    fn boolean(&mut self) -> Result<bool, HeaderError> {
        self.0 = self.0.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest;
                return Ok(value);
            }
        }
        malformed("fortran_order is neither True nor False")
    }

    fn tuple(&mut self) -> Result<Vec<u64>, HeaderError> {
        self.expect('(')?;
        let mut lengths = Vec::new();
        while !self.eat(')') {
            let digits = self.0.trim_start();
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            let Ok(length) = digits[..end].parse() else {
                return malformed("a length in the shape is not a number");
            };
            lengths.push(length);
            self.0 = digits[end..].strip_prefix('L').unwrap_or(&digits[end..]);
            if !self.eat(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(lengths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Element;

    #[test]
    fn what_is_written_is_read() {
        for (element, shape) in
            [(Element::F64, vec![3, 4]), (Element::F32, vec![7]), (Element::F64, vec![0, 5])]
        {
            let bytes = Header::write(element, &shape);
            assert_eq!(bytes.len() % PAGE, 0);
            let header = Header::parse(&bytes).unwrap();
            assert_eq!((header.shape, header.data), (shape, bytes.len() as u64));
            assert_eq!(header.dtype.bytes(), element.bytes());
        }
    }

    fn version_1(dict: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((dict.len() as u16).to_le_bytes());
        bytes.extend(dict.as_bytes());
        bytes
    }

    #[test]
    fn types_that_are_not_numbers_are_named() {
        for code in ["<c16", "|S5", "<U3", "|O", "<f2", "<M8[ns]", "c", "e", "g", "", "<", "é"] {
            let dict = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': (2, 2), }}\n");
            assert_eq!(Header::parse(&version_1(&dict)), Err(HeaderError::DType(code.into())));
        }
        let dict = "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,), }";
        assert!(matches!(Header::parse(&version_1(dict)), Err(HeaderError::DType(_))));
    }

    #[test]
    fn types_have_the_names_that_numpy_knows() {
        let (real, single) = (DType::F64, DType::F32);
        for (descr, dtype, big_endian) in [
            ("float64", real, false),
            ("d", real, false),
            ("<d", real, false),
            (">d", real, true),
            ("=f8", real, false),
            ("double", real, false),
            ("float", real, false),
            ("f", single, false),
            (">f4", single, true),
            ("float32", single, false),
            ("single", single, false),
            ("|b1", DType::Bool, false),
            ("?", DType::Bool, false),
            ("bool", DType::Bool, false),
            ("b", DType::Signed(1), false),
            ("|i1", DType::Signed(1), false),
            ("B", DType::Unsigned(1), false),
            ("h", DType::Signed(2), false),
            (">H", DType::Unsigned(2), true),
            ("<i", DType::Signed(4), false),
            ("I", DType::Unsigned(4), false),
            ("int", DType::Signed(8), false),
            ("q", DType::Signed(8), false),
            ("uint64", DType::Unsigned(8), false),
        ] {
            let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2, 2), }}\n");
            let header = Header::parse(&version_1(&dict)).unwrap();
            let expected =
                if descr.starts_with(['<', '>']) { big_endian } else { cfg!(target_endian = "big") };
            assert_eq!((header.dtype, header.big_endian), (dtype, expected), "{descr}");
        }
    }

    #[test]
    fn any_order_of_keys_and_either_quote() {
        let dict = "{\"shape\": (2L, 3), \"descr\": \">i4\", \"fortran_order\": True}";
        let header = Header::parse(&version_1(dict)).unwrap();
        assert_eq!((header.dtype, header.big_endian), (DType::Signed(4), true));
        assert_eq!((header.shape, header.fortran_order), (vec![2, 3], true));
    }

    #[test]
    fn mutated_headers_never_panic() {
        let seed = std::env::var("DOLMEN_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1_u64);
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize
        };
        let good = Header::write(Element::F64, &[1000, 20]);
        for round in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..1 + next() % 4 {
                let at = next() % bytes.len();
                bytes[at] = next() as u8;
            }
            bytes.truncate(next() % (good.len() + 1));
            // Either answer is fine; a panic would name seed and round.
            let _ = std::panic::catch_unwind(|| Header::parse(&bytes).map(|h| h.elements()))
                .unwrap_or_else(|_| panic!("seed {seed}, round {round}"));
        }
    }
}
