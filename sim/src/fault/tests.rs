use super::*;

#[test]
fn a_schedule_is_the_same_from_the_same_seed() {
    let mut schedule = Schedule::seeded(7, Duration::from_secs(2), &Kind::ALL);
    let preview = schedule.preview(3, 40);
    assert_eq!(preview.lines().count(), 40);
    let lines: String = (0..40).filter_map(|_| schedule.next(3)).map(|planned| format!("{planned}\n")).collect();
    assert_eq!(lines, preview);
    assert_ne!(Schedule::seeded(8, Duration::from_secs(2), &Kind::ALL).preview(3, 40), preview);
    assert_eq!(Schedule::seeded(7, Duration::from_secs(2), &[]).next(3), None);
}

#[test]
fn kinds_have_names_that_are_read_back() {
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert!("flood".parse::<Kind>().is_err());
    let again = Schedule::seeded(7, Duration::from_millis(1500), &[Kind::Cut, Kind::HalfOpen]).to_string();
    assert_eq!(again, "--faults 7 --fault-interval 1500ms --fault-kinds cut,half-open");
}
