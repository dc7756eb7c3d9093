package record

import (
	"encoding/json"
	"fmt"
)

// decode reads a record of this release's format. The version comes first: of another
// format the rest may be of other types.
func decode(data []byte) (a Attachment, err error) {
	var format struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &format); err != nil {
		return Attachment{}, err
	}
	if format.Version != Version {
		return Attachment{}, fmt.Errorf("has format version %d, this release reads %d", format.Version, Version)
	}
	err = json.Unmarshal(data, &a)
	return a, err
}
