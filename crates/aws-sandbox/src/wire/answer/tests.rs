use super::*;

#[test]
fn text_is_escaped_in_xml_elements() {
    assert_eq!(escape("<a b=\"c\">&"), "&lt;a b=&quot;c&quot;&gt;&amp;");
}
