# Alarms on what the workers write with CLOUDWATCH_EMF=true (docs/metrics.md) and on the queues themselves, with the
# meaning of the Prometheus alerts of the same names (deploy/observability/alerts.yml). Each description ends with the
# heading of docs/runbook.md that says what to do.
#
# Metrics of the fleet come from one worker at a time, once a minute: when another one takes over, a minute may have two
# values or none. So they are read as Maximum, and no alarm rests on a single minute.

locals {
  fleet = { Service = "huntaze" }

  # Metrics of each worker carry its version, so that a canary can be compared; which versions run changes with every
  # deployment. A search finds them all. An alarm may not hold a search, but it may hold a Metrics Insights query, which
  # does the same over any number of versions.
  alarms = {
    HuntazeFleetNotObserved = {
      means      = "No worker observes the fleet: none runs, none reaches the database, or their lines do not arrive. The other alarms of the fleet are blind."
      metric     = "BacklogAgeSeconds"
      dimensions = local.fleet
      # The values do not matter, only that there are any.
      statistic  = "SampleCount"
      comparison = "LessThanThreshold"
      threshold  = 1
      minutes    = 5
      of         = 5
      missing    = "breaching"
      page       = true
    }
    HuntazeStepsLate = {
      means      = "Jobs that could run have been waiting for more than a minute: too few workers, or none that takes them."
      metric     = "BacklogAgeSeconds"
      dimensions = local.fleet
      statistic  = "Maximum"
      comparison = "GreaterThanThreshold"
      threshold  = 60
      minutes    = 5
      of         = 5
      missing    = "missing" # HuntazeFleetNotObserved says so
      page       = true
    }
    HuntazeDoubtOld = {
      means      = "A message has been in doubt for more than 10 minutes: nobody knows whether it was sent, and it will not be sent again by itself."
      metric     = "OldestDoubtSeconds"
      dimensions = local.fleet
      statistic  = "Maximum"
      comparison = "GreaterThanThreshold"
      threshold  = 600
      minutes    = 2
      of         = 2
      missing    = "missing"
      page       = false
    }
    HuntazeTurnsLate = {
      means      = "A due message and a free token of its account have been there together for more than 30 seconds: the fleet does not keep up, or a wake-up was lost."
      metric     = "LongestTurnSeconds"
      dimensions = local.fleet
      statistic  = "Maximum"
      comparison = "GreaterThanThreshold"
      threshold  = 30
      minutes    = 3
      of         = 3
      missing    = "missing"
      page       = true
    }
    HuntazeAuditViolation = {
      means      = "The audit found that more was sent than a limit allows, or a message twice."
      metric     = "AuditViolations"
      dimensions = local.fleet
      statistic  = "Maximum"
      comparison = "GreaterThanThreshold"
      threshold  = 0
      minutes    = 1
      of         = 1
      # Between two audits nothing may be written, when the worker that ran the latest has ended.
      missing = "ignore"
      page    = true
    }
  }

  by_version = {
    # The alert of Prometheus asks for a share of all runs; the lines for CloudWatch have the failed ones alone.
    HuntazeStepsFail = {
      means      = "More than ten runs of steps fail a minute. Each is run again, but something is wrong."
      query      = "SELECT SUM(StepFailures) FROM SCHEMA(\"${var.namespace}\", Service, Version) WHERE Service = 'huntaze'"
      comparison = "GreaterThanThreshold"
      threshold  = 10
      minutes    = 10
      of         = 10
      page       = false
    }
    HuntazeIntakeLate = {
      means      = "Messages take more than a minute, in the mean, from SQS to the database."
      query      = "SELECT MAX(IntakeDelaySeconds) FROM SCHEMA(\"${var.namespace}\", Service, Version) WHERE Service = 'huntaze'"
      comparison = "GreaterThanThreshold"
      threshold  = 60
      minutes    = 5
      of         = 5
      page       = false
    }
    HuntazeLimiterBypass = {
      means      = "A worker sends without the buckets, at a local pace. The limit still holds by the ledger's constraint, but somebody has to find out why."
      query      = "SELECT MAX(LimiterBypass) FROM SCHEMA(\"${var.namespace}\", Service, Version) WHERE Service = 'huntaze'"
      comparison = "GreaterThanThreshold"
      threshold  = 0
      minutes    = 2
      of         = 3
      page       = true
    }
  }

  queues = {
    HuntazeDeadLetters = {
      means     = "There are dead letters. SQS counts their 14 days from the first arrival, so there may be little time left."
      queue     = var.dead_letter_queue
      metric    = "ApproximateNumberOfMessagesVisible"
      threshold = 0
      minutes   = 5
      page      = false
    }
    # The workers measure the delay of what they take; this also sees what nobody takes.
    HuntazeIntakeLate-sqs = {
      means     = "The oldest message in SQS is older than five minutes: no worker takes it."
      queue     = var.queue
      metric    = "ApproximateAgeOfOldestMessage"
      threshold = 300
      minutes   = 5
      page      = false
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "fleet" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.means} runbook: ${each.key}"
  namespace           = var.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 60
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  datapoints_to_alarm = each.value.minutes
  evaluation_periods  = each.value.of
  treat_missing_data  = each.value.missing
  alarm_actions       = each.value.page ? var.page : var.ticket
  ok_actions          = each.value.page ? var.page : var.ticket
}

# Low use is only a fault while something waits for nothing but its turn; what rests, is paused or has quiet hours may wait.
resource "aws_cloudwatch_metric_alarm" "utilisation" {
  alarm_name          = "${var.name}-HuntazeUtilisationLow"
  alarm_description   = "For 10 minutes less than 80 % of the tokens have been in use while messages waited for nothing but their turn. runbook: HuntazeUtilisationLow"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  datapoints_to_alarm = 10
  evaluation_periods  = 10
  treat_missing_data  = "notBreaching" # the utilisation is only written while messages wait
  alarm_actions       = var.ticket
  ok_actions          = var.ticket

  metric_query {
    id          = "low"
    label       = "HuntazeUtilisationLow"
    expression  = "IF(used < 80 AND turn > 0, 1, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { used = "TokenUtilisationPercent", turn = "LongestTurnSeconds" }

    content {
      id = metric_query.key

      metric {
        namespace   = var.namespace
        metric_name = metric_query.value
        dimensions  = local.fleet
        stat        = "Maximum"
        period      = 60
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "by_version" {
  for_each = local.by_version

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.means} runbook: ${each.key}"
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  datapoints_to_alarm = each.value.minutes
  evaluation_periods  = each.value.of
  treat_missing_data  = "notBreaching" # IntakeDelaySeconds is only written where messages came
  alarm_actions       = each.value.page ? var.page : var.ticket
  ok_actions          = each.value.page ? var.page : var.ticket

  metric_query {
    id          = "all"
    label       = each.key
    expression  = each.value.query
    period      = 60
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "queue" {
  for_each = local.queues

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.means} runbook: ${trimsuffix(each.key, "-sqs")}"
  namespace           = "AWS/SQS"
  metric_name         = each.value.metric
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  period              = 60
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  datapoints_to_alarm = each.value.minutes
  evaluation_periods  = each.value.minutes
  # SQS writes nothing about a queue that has not been used for six hours.
  treat_missing_data = "notBreaching"
  alarm_actions      = each.value.page ? var.page : var.ticket
  ok_actions         = each.value.page ? var.page : var.ticket
}
