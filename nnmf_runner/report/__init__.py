"""From records to tables, figures and maps: functions of records that never run anything again."""
