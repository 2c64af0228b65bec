//! Header sections: every octet of a message is in its header section, in its body or between them, and fields are parts of
//! the section, in order.

use mail::header;

pub(crate) fn check(octets: &[u8]) {
    let (section, body) = header::split(octets);
    assert!(octets.starts_with(section) && octets.ends_with(body));
    let between = octets.len() - section.len() - body.len();
    assert!(
        between == 0 || (between == 2 && octets[section.len()..].starts_with(b"\r\n")),
        "{between} between"
    );
    let mut from = 0;
    for field in header::fields(section) {
        let at = field.raw.as_ptr().addr() - section.as_ptr().addr();
        assert!(at >= from, "fields overlap");
        from = at + field.raw.len();
        assert!(from <= section.len());
        assert!(!field.name.is_empty() && field.name.bytes().all(|octet| octet.is_ascii_graphic()));
        assert!(field.raw.starts_with(field.name.as_bytes()));
        assert!(!field.unfolded().contains("\r\n"));
        assert!(header::find(section, field.name).is_some());
    }
}
