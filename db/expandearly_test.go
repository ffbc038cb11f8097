package db_test

import (
	"testing"
	"time"

	"github.com/huntaze/hybrid-orchestrator/db"
	"github.com/huntaze/hybrid-orchestrator/internal/campaign"
	"github.com/huntaze/hybrid-orchestrator/internal/workflow"
)

// TestCampaignThatIsAskedTooEarly: a job that comes before the campaign's time, because River's clock is ahead, is told
// for how long; then it begins.
func TestCampaignThatIsAskedTooEarly(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10/60s", "off")
	at := start.Add(time.Hour)
	id := f.newCampaign(3, func(c *db.NewCampaign) { c.ScheduledFor = &at })
	f.act(id, campaign.ActionStart)
	job := f.takeTextJobs(workflow.StepExpand)[0]
	f.AdvanceClock(t, 59*time.Minute)
	if done, err := f.store.Expand(f.ctx, id, job.step); err != nil || done.Early != time.Minute || done.Made != 0 {
		t.Errorf("early: %+v, %v", done, err)
	}
	f.AdvanceClock(t, time.Minute)
	if done, err := f.store.Expand(f.ctx, id, job.step); err != nil || done.Early != 0 || done.Made != 3 {
		t.Errorf("in time: %+v, %v", done, err)
	}
}
