//! Schedules: crontab(5), zones, and both changes of the clock.

use std::str::FromStr;

use dagbook_events::dag::trigger::{Schedule, next_after};
use dagbook_events::time::Timestamp;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect(text)
}

/// The next firings, in the zone's local time with its offset.
fn firings(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::new(cron, zone).unwrap_or_else(|e| panic!("{cron}: {e}"));
    let tz = jiff::tz::TimeZone::get(zone).expect(zone);
    let mut now = at(after);
    let mut found = Vec::new();
    while found.len() < count {
        match next_after(&schedule, now) {
            None => break,
            Some(next) => {
                assert!(next > now, "{cron}: {next} after {now}");
                let local = jiff::Timestamp::from_millisecond(next.0).expect("in range");
                found.push(local.to_zoned(tz.clone()).strftime("%a %Y-%m-%d %H:%M%:z").to_string());
                now = next;
            }
        }
    }
    found
}

#[test]
fn the_five_fields_mean_what_crontab_says() {
    let after = "2026-01-01T00:00:00Z"; // a Thursday
    let cases = [
        ("0 5 * * 1", "Mon 2026-01-05 05:00+00:00"),
        ("0 5 * * 0", "Sun 2026-01-04 05:00+00:00"),
        ("0 5 * * 7", "Sun 2026-01-04 05:00+00:00"),
        ("0 5 * * sun", "Sun 2026-01-04 05:00+00:00"),
        ("0 5 * * Mon-Fri", "Thu 2026-01-01 05:00+00:00"),
        ("0 5 * * 5-7", "Fri 2026-01-02 05:00+00:00"),
        ("*/15 * * * *", "Thu 2026-01-01 00:15+00:00"),
        ("7-59/20 * * * *", "Thu 2026-01-01 00:07+00:00"),
        ("5/20 * * * *", "Thu 2026-01-01 00:05+00:00"),
        ("0 0 29 2 *", "Tue 2028-02-29 00:00+00:00"),
        ("0 0 * feb *", "Sun 2026-02-01 00:00+00:00"),
        ("0,30 12 1 JAN,jul *", "Thu 2026-01-01 12:00+00:00"),
        ("  0   6  *  * * ", "Thu 2026-01-01 06:00+00:00"),
        ("@hourly", "Thu 2026-01-01 01:00+00:00"),
        ("@daily", "Fri 2026-01-02 00:00+00:00"),
        ("@midnight", "Fri 2026-01-02 00:00+00:00"),
        ("@weekly", "Sun 2026-01-04 00:00+00:00"),
        ("@monthly", "Sun 2026-02-01 00:00+00:00"),
        ("@YEARLY", "Fri 2027-01-01 00:00+00:00"),
        ("@annually", "Fri 2027-01-01 00:00+00:00"),
        ("0 0 31 * *", "Sat 2026-01-31 00:00+00:00"),
    ];
    for (cron, expected) in cases {
        assert_eq!(firings(cron, "UTC", after, 1), [expected], "{cron}");
    }
}

#[test]
fn a_restricted_day_and_a_restricted_weekday_mean_either() {
    assert_eq!(
        firings("0 0 13 * 5", "UTC", "2026-02-05T00:00:00Z", 5),
        [
            "Fri 2026-02-06 00:00+00:00",
            "Fri 2026-02-13 00:00+00:00",
            "Fri 2026-02-20 00:00+00:00",
            "Fri 2026-02-27 00:00+00:00",
            "Fri 2026-03-06 00:00+00:00"
        ]
    );
    // A field that starts with `*` is not restricted: both must hold.
    assert_eq!(
        firings("0 0 */10 * 1", "UTC", "2026-06-01T00:00:00Z", 2),
        ["Mon 2026-08-31 00:00+00:00", "Mon 2026-09-21 00:00+00:00"]
    );
}

#[test]
fn in_spring_a_skipped_time_fires_at_the_first_instant_after_the_gap() {
    let after = "2026-03-28T12:00:00Z";
    assert_eq!(
        firings("30 2 * * *", "Europe/Berlin", after, 2),
        ["Sun 2026-03-29 03:00+02:00", "Mon 2026-03-30 02:30+02:00"]
    );
    // Two skipped times and one that exists fire together, once.
    assert_eq!(
        firings("0,30 2,3 * * *", "Europe/Berlin", after, 3),
        ["Sun 2026-03-29 03:00+02:00", "Sun 2026-03-29 03:30+02:00", "Mon 2026-03-30 02:00+02:00"]
    );
    // A gap of half an hour.
    assert_eq!(
        firings("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 1),
        ["Sun 2026-10-04 02:30+11:00"]
    );
    // By elapsed time nothing is made up for.
    assert_eq!(
        firings("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3),
        ["Sun 2026-03-29 01:30+01:00", "Sun 2026-03-29 03:30+02:00", "Sun 2026-03-29 04:30+02:00"]
    );
    // A day that does not exist at all: Samoa crossed the date line.
    assert_eq!(
        firings("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3),
        ["Thu 2011-12-29 12:00-10:00", "Sat 2011-12-31 00:00+14:00", "Sat 2011-12-31 12:00+14:00"]
    );
}

#[test]
fn in_autumn_a_repeated_time_fires_once_unless_by_elapsed_time() {
    let after = "2026-10-24T12:00:00Z";
    assert_eq!(
        firings("30 2 * * *", "Europe/Berlin", after, 2),
        ["Sun 2026-10-25 02:30+02:00", "Mon 2026-10-26 02:30+01:00"]
    );
    assert_eq!(
        firings("30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 3),
        ["Sun 2026-10-25 02:30+02:00", "Sun 2026-10-25 02:30+01:00", "Sun 2026-10-25 03:30+01:00"]
    );
    assert_eq!(
        firings("*/20 */1 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", 5),
        [
            "Sun 2026-10-25 02:40+02:00",
            "Sun 2026-10-25 02:00+01:00",
            "Sun 2026-10-25 02:20+01:00",
            "Sun 2026-10-25 02:40+01:00",
            "Sun 2026-10-25 03:00+01:00"
        ]
    );
    // Between the two occurrences nothing is left to fire.
    assert_eq!(
        firings("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", 1),
        ["Mon 2026-10-26 02:30+01:00"]
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason() {
    let cases = [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 0 0 1 1 *", "five fields"),
        ("60 * * * *", "minute must be from 0 to 59"),
        ("* 24 * * *", "hour must be from 0 to 23"),
        ("* * 0 * *", "day of the month must be from 1 to 31"),
        ("* * * 13 *", "month must be from 1 to 12"),
        ("* * * * 8", "day of the week must be from 0 to 7"),
        ("*/0 * * * *", "step `/0`"),
        ("5-1 * * * *", "runs backwards"),
        ("1,,2 * * * *", "`` is not a minute"),
        ("* * L * *", "`L` is not a day of the month"),
        ("* * * * 5#2", "`5#2` is not a day of the week"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("@reboot", "known names"),
        ("1e3 * * * *", "`1e3` is not a minute"),
    ];
    for (cron, reason) in cases {
        let error = Schedule::new(cron, "UTC").expect_err(cron).to_string();
        assert!(error.contains(reason), "{cron}: {error}");
    }
    assert!(Schedule::new("* * * * *", "Mars/Olympus").is_err());
}

fn field(minimum: u32, maximum: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_string()),
        2 => (minimum..=maximum).prop_map(|n| n.to_string()),
        1 => (2u32..=maximum.min(9)).prop_map(|n| format!("*/{n}")),
        1 => (minimum..=maximum, minimum..=maximum)
            .prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => proptest::collection::btree_set(minimum..=maximum, 2..4)
            .prop_map(|set| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// In UTC, where no clock changes, `croner` is the oracle for what the fields mean.
    #[test]
    fn agrees_with_an_independent_implementation(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 28), month in field(1, 12),
        weekday in field(0, 6), start in 1_600_000_000i64..2_000_000_000,
    ) {
        // The two differ on purpose where a day field is `*/n` beside a restricted other one.
        prop_assume!(!(day.starts_with("*/") && weekday != "*"));
        prop_assume!(!(weekday.starts_with("*/") && day != "*"));
        let text = format!("{minute} {hour} {day} {month} {weekday}");
        let schedule = Schedule::new(&text, "UTC").expect("readable");
        let oracle = croner::Cron::from_str(&text).expect("readable");
        let mut ours = Timestamp(start * 1_000);
        let mut theirs = chrono::DateTime::<chrono::Utc>::from_timestamp(start, 0).expect("in range");
        for _ in 0..4 {
            ours = next_after(&schedule, ours).expect("fires again");
            theirs = oracle.find_next_occurrence(&theirs, false).expect("fires again");
            prop_assert_eq!(ours.0, theirs.timestamp_millis(), "{}", text);
        }
    }

    /// In any zone firings rise, and the next after an instant just before one is that one.
    #[test]
    fn firings_rise_and_do_not_depend_on_where_one_starts(
        minute in field(0, 59), hour in field(0, 23), start in 1_700_000_000i64..1_800_000_000,
        zone in prop_oneof![
            Just("Europe/Vienna"), Just("America/New_York"), Just("Australia/Lord_Howe"),
            Just("America/St_Johns"), Just("Asia/Kathmandu"), Just("Africa/Casablanca"),
        ],
    ) {
        let schedule = Schedule::new(&format!("{minute} {hour} * * *"), zone).expect("readable");
        let mut now = Timestamp(start * 1_000);
        for _ in 0..6 {
            let next = next_after(&schedule, now).expect("fires again");
            prop_assert!(next > now);
            prop_assert_eq!(next_after(&schedule, Timestamp(next.0 - 1)), Some(next));
            let between = Timestamp(now.0 + (next.0 - now.0) / 2);
            prop_assert_eq!(next_after(&schedule, between), Some(next));
            now = next;
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[0-9*/,@a-zA-Z# -]{0,24}") {
        let _ = Schedule::new(&text, "UTC");
    }
}
