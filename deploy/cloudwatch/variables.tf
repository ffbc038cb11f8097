variable "name" {
  description = "Prefix of the alarms' names; one for each environment."
  type        = string
  default     = "huntaze-production"
}

variable "namespace" {
  description = "CloudWatch namespace of the workers' metrics: their CLOUDWATCH_NAMESPACE."
  type        = string
  default     = "Huntaze"
}

variable "queue" {
  description = "Name of the main SQS queue (SQS_QUEUE)."
  type        = string
  default     = "huntaze-hybrid-messages-production"
}

variable "dead_letter_queue" {
  description = "Name of the dead letter queue (SQS_DLQ)."
  type        = string
  default     = "huntaze-dlq-production"
}

variable "page" {
  description = "ARNs (of SNS topics) told of alarms that need somebody now."
  type        = list(string)
  default     = []
}

variable "ticket" {
  description = "ARNs (of SNS topics) told of alarms that can wait for the next working day."
  type        = list(string)
  default     = []
}
