//! What the targets share: cutting input in two ways, and the shape that all we put on a wire must have.

/// Takes so many octets off the front, for what a target decides by; zeros where there are none.
pub(crate) fn controls<const N: usize>(octets: &[u8]) -> ([u8; N], &[u8]) {
    let mut controls = [0; N];
    let (front, rest) = octets.split_at(N.min(octets.len()));
    controls[..front.len()].copy_from_slice(front);
    (controls, rest)
}

/// The octets in pieces whose lengths follow from `seed`: 0 is one piece, 1 is single octets.
pub(crate) fn pieces(octets: &[u8], seed: u8) -> Vec<&[u8]> {
    if seed == 0 {
        return vec![octets];
    }
    let mut state = u32::from(seed);
    let mut rest = octets;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        // Numerical Recipes' generator: any will do that is the same tomorrow.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = if seed == 1 { 1 } else { 1 + (state >> 16) as usize % (usize::from(seed) + 1) };
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Whether every CR is followed by an LF and every LF follows a CR.
pub(crate) fn has_bare_line_break(octets: &[u8]) -> bool {
    let bare = |(place, octet): (usize, &u8)| match octet {
        b'\r' => octets.get(place + 1) != Some(&b'\n'),
        b'\n' => place == 0 || octets[place - 1] != b'\r',
        _ => false,
    };
    octets.iter().enumerate().any(bare)
}

/// Reads replies as strictly as a client may (RFC 5321 4.2): the code of each, in order. Panics on anything that is no
/// reply, such as what a peer could have put there.
pub(crate) fn replies(octets: &[u8]) -> Vec<u16> {
    let text = str::from_utf8(octets).expect("replies are ASCII");
    let mut codes = Vec::new();
    let mut open = None;
    for line in text.split_inclusive("\r\n") {
        let body = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("a line without its end: {line:?}"));
        assert!(line.len() <= 512, "a reply line of {} octets", line.len());
        assert!(body.bytes().all(|octet| matches!(octet, b' '..=b'~')), "not printable: {body:?}");
        let code =
            body.get(..3).and_then(|digits| digits.parse::<u16>().ok()).filter(|code| *code / 100 >= 2);
        let code = code.filter(|code| *code / 100 <= 5).unwrap_or_else(|| panic!("no reply code: {body:?}"));
        assert!(open.is_none_or(|open| open == code), "the code changes within a reply: {text:?}");
        open = match body.as_bytes().get(3) {
            Some(b'-') => Some(code),
            Some(b' ') => {
                codes.push(code);
                None
            }
            _ => panic!("neither space nor hyphen behind the code: {body:?}"),
        };
    }
    assert_eq!(open, None, "a reply without its last line: {text:?}");
    codes
}
