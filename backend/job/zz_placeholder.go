package job

type Queue struct{}
