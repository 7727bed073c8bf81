/** How decision thresholds may be chosen: one per criterion, one for all, or one half. */
export const CALIBRATIONS = ["per_class", "global", "fixed"] as const;

/** Name of a way to choose thresholds. */
export type Calibration = (typeof CALIBRATIONS)[number];
