//! git's pkt-lines: what a push says first, and how it is answered.

/// What one pkt-line is.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A line.
    Line(&'a [u8]),
    /// The end of a section.
    Flush,
}

/// The next pkt-line and what is behind it; `None` when the bytes are none.
pub fn next(bytes: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let length = std::str::from_utf8(bytes.get(..4)?).ok()?;
    let length = usize::from_str_radix(length, 16).ok()?;
    if length < 4 {
        return Some((Packet::Flush, &bytes[4..]));
    }
    Some((Packet::Line(bytes.get(4..length)?), &bytes[length..]))
}

/// A line as a packet; at most 65,516 bytes fit.
pub fn line(content: &[u8]) -> Vec<u8> {
    let mut packet = format!("{:04x}", content.len() + 4).into_bytes();
    packet.extend_from_slice(content);
    packet
}

/// Content for one of the side bands, cut into packets that fit.
pub fn banded(band: u8, content: &[u8]) -> Vec<u8> {
    content.chunks(60_000).flat_map(|chunk| line(&[&[band], chunk].concat())).collect()
}

/// A command of a push.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The tip that is expected, all zeros for none.
    pub old: String,
    /// The tip that is wanted, all zeros to delete.
    pub new: String,
    /// The ref.
    pub name: String,
}

/// What a push asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Push<'a> {
    /// Its commands.
    pub commands: Vec<Command>,
    /// Its options.
    pub options: Vec<String>,
    /// Whether the answer goes through a side band.
    pub has_side_band: bool,
    /// The pack; empty for deletions.
    pub pack: &'a [u8],
}

/// Reads a push; `None` when it is malformed.
pub fn read_push(mut bytes: &[u8]) -> Option<Push<'_>> {
    let mut push = Push::default();
    let mut takes_options = false;
    while let (Packet::Line(line), rest) = next(bytes)? {
        bytes = rest;
        let text = std::str::from_utf8(line).ok()?.trim_end_matches('\n');
        let (text, abilities) = text.split_once('\0').unwrap_or((text, ""));
        for ability in abilities.split(' ') {
            push.has_side_band |= ability == "side-band-64k";
            takes_options |= ability == "push-options";
        }
        let mut words = text.splitn(3, ' ');
        let (old, new, name) = (words.next()?, words.next()?, words.next()?);
        push.commands.push(Command { old: old.into(), new: new.into(), name: name.into() });
    }
    bytes = &bytes[4..];
    if takes_options {
        while let (Packet::Line(line), rest) = next(bytes)? {
            push.options.push(String::from_utf8_lossy(line).trim_end().to_owned());
            bytes = rest;
        }
        bytes = &bytes[4..];
    }
    push.pack = bytes;
    Some(push)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_read_with_its_options_and_its_pack() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let first = format!("{one} {two} refs/heads/a\0report-status side-band-64k push-options\n");
        let second = format!("{two} {one} refs/heads/b\n");
        let body =
            [&line(first.as_bytes())[..], &line(second.as_bytes()), b"0000", &line(b"topic=t"), b"0000PACK"];
        let body = body.concat();
        let push = read_push(&body).unwrap();
        assert_eq!(
            push.commands.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
            ["refs/heads/a", "refs/heads/b"]
        );
        assert_eq!(
            (push.options, push.has_side_band, push.pack),
            (vec!["topic=t".to_owned()], true, &b"PACK"[..])
        );
    }

    #[test]
    fn what_is_no_push_is_refused() {
        for body in [&b""[..], b"00", b"zzzz", b"ffff", b"0008abcd0000", b"<html>"] {
            assert_eq!(read_push(body), None, "{body:?}");
        }
    }
}
