# terraform test, without a cloud: what the alarms would be.

mock_provider "aws" {}

variables {
  namespace = "Huntaze/Staging"
  page      = ["arn:aws:sns:us-east-1:123456789012:page"]
  ticket    = ["arn:aws:sns:us-east-1:123456789012:ticket"]
}

run "nobody_observes" {
  command = plan

  assert {
    condition = alltrue([
      aws_cloudwatch_metric_alarm.fleet["HuntazeFleetNotObserved"].treat_missing_data == "breaching",
      aws_cloudwatch_metric_alarm.fleet["HuntazeFleetNotObserved"].metric_name == "BacklogAgeSeconds",
      aws_cloudwatch_metric_alarm.fleet["HuntazeFleetNotObserved"].statistic == "SampleCount",
    ])
    error_message = "a fleet that nobody observes must raise an alarm"
  }

  assert {
    condition     = [for name, a in aws_cloudwatch_metric_alarm.fleet : name if a.treat_missing_data == "breaching"] == ["HuntazeFleetNotObserved"]
    error_message = "only one alarm may say that nobody observes the fleet"
  }
}

run "one_alarm_for_each_meaning" {
  command = plan

  assert {
    condition = toset([
      for a in concat(
        values(aws_cloudwatch_metric_alarm.fleet), values(aws_cloudwatch_metric_alarm.by_version),
        values(aws_cloudwatch_metric_alarm.queue),
        [aws_cloudwatch_metric_alarm.utilisation]
      ) : regex("runbook: (Huntaze[A-Za-z]+)$", a.alarm_description)[0]
      ]) == toset([
      "HuntazeFleetNotObserved", "HuntazeStepsLate", "HuntazeDoubtOld", "HuntazeDeadLetters", "HuntazeTurnsLate",
      "HuntazeAuditViolation", "HuntazeStepsFail", "HuntazeIntakeLate", "HuntazeLimiterBypass", "HuntazeUtilisationLow",
    ])
    error_message = "alarms and Prometheus alerts differ"
  }

  assert {
    condition = alltrue([
      for a in concat(
        values(aws_cloudwatch_metric_alarm.fleet), values(aws_cloudwatch_metric_alarm.by_version),
        values(aws_cloudwatch_metric_alarm.queue),
        [aws_cloudwatch_metric_alarm.utilisation]
      ) : length(a.alarm_actions) == 1 && a.alarm_actions == a.ok_actions
    ])
    error_message = "each alarm must tell somebody, of its end too"
  }
}

run "what_they_read" {
  command = plan

  assert {
    condition     = alltrue([for a in aws_cloudwatch_metric_alarm.fleet : a.namespace == "Huntaze/Staging" && a.dimensions == tomap({ Service = "huntaze" })])
    error_message = "the fleet's alarms read the namespace of the variable, by Service alone"
  }

  assert {
    condition = alltrue([
      for a in aws_cloudwatch_metric_alarm.by_version : alltrue([
        for q in a.metric_query : strcontains(q.expression, "SCHEMA(\"Huntaze/Staging\", Service, Version)")
      ])
    ])
    error_message = "alarms of the workers' own metrics read every version"
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.queue["HuntazeDeadLetters"].dimensions["QueueName"] == "huntaze-dlq-production" &&
      aws_cloudwatch_metric_alarm.queue["HuntazeIntakeLate-sqs"].dimensions["QueueName"] == "huntaze-hybrid-messages-production"
    )
    error_message = "the queues' alarms read the wrong queue"
  }
}

run "low_utilisation_needs_a_turn" {
  command = plan

  assert {
    condition = toset([
      for q in aws_cloudwatch_metric_alarm.utilisation.metric_query : "${q.id} ${one(q.metric[*].metric_name)} ${one(q.metric[*].namespace)}" if length(q.metric) > 0
    ]) == toset(["used TokenUtilisationPercent Huntaze/Staging", "turn LongestTurnSeconds Huntaze/Staging"])
    error_message = "low utilisation is judged by the utilisation and the longest turn"
  }
}

run "names_of_the_environment" {
  command = plan

  variables {
    name = "huntaze-staging"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.fleet["HuntazeStepsLate"].alarm_name == "huntaze-staging-HuntazeStepsLate"
    error_message = "two environments of one account need different names"
  }
}
