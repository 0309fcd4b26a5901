/** A time of the Gregorian calendar. `month` 1 to 12, `weekday` 0 for Sunday. */
export interface CalendarTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly weekday: number;
}

const DAY = 86_400;
/** Days of 400 years, in which the calendar repeats. */
const ERA = 146_097;
/** Days from 0000-03-01 to 1970-01-01. */
const TO_1970 = 719_468;

/** `seconds` since 1970. Years begin in March here, so that the day that may be missing is the last one. */
export function fromSeconds(seconds: number): CalendarTime {
  const days = Math.floor(seconds / DAY) + TO_1970;
  const rest = seconds - (days - TO_1970) * DAY;
  const era = Math.floor(days / ERA);
  const inEra = days - era * ERA;
  const year = Math.floor(
    (inEra - Math.floor(inEra / 1460) + Math.floor(inEra / 36_524) - Math.floor(inEra / 146_096)) / 365,
  );
  const inYear = inEra - (365 * year + Math.floor(year / 4) - Math.floor(year / 100));
  const shifted = Math.floor((5 * inYear + 2) / 153);
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {
    year: year + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: inYear - Math.floor((153 * shifted + 2) / 5) + 1,
    hour: Math.floor(rest / 3600),
    minute: Math.floor(rest / 60) % 60,
    second: rest % 60,
    weekday: (((days - TO_1970 + 4) % 7) + 7) % 7,
  };
}

/** Seconds since 1970; fields out of range carry over. The day of the week is not looked at. */
export function toSeconds({ year, month, day, hour, minute, second }: CalendarTime): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const inEra = y - era * 400;
  const inYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const days = era * ERA + inEra * 365 + Math.floor(inEra / 4) - Math.floor(inEra / 100) + inYear - TO_1970;
  return days * DAY + hour * 3600 + minute * 60 + second;
}
