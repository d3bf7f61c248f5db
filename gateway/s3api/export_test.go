package s3api

// OperationsForTest are method, path and query of each operation there is.
func OperationsForTest() (list [][3]string) {
	paths := [...]string{onService: "/", onBucket: "/photos", onObject: "/photos/dir/a"}
	for _, o := range operations {
		query := ""
		switch o.sub {
		case "":
		case "list-type":
			query = "list-type=2"
		case "uploadId":
			query = "uploadId=x&partNumber=1"
			if o.name != "UploadPart" {
				query = "uploadId=x"
			}
		default:
			query = o.sub + "="
		}
		list = append(list, [3]string{o.method, paths[o.place], query})
	}
	return list
}
