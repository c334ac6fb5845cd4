"""Where and when: work pools, schedules, triggers."""
