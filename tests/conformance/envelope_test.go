// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
	"k8s.io/kms/pkg/service"
)

// What stands before each value in etcd when the provider is named keyturn.
const storedPrefix = "k8s:enc:kms:v2:keyturn:"

// countingService counts the Decrypts that reach the plugin.
type countingService struct {
	service.Service
	decrypts atomic.Int64
}

func (c *countingService) Decrypt(ctx context.Context, uid string, req *service.DecryptRequest) ([]byte, error) {
	c.decrypts.Add(1)
	return c.Service.Decrypt(ctx, uid, req)
}

// newState does what kube-apiserver does when it starts and when key_id changes: a new seed, wrapped by the plugin.
func newState(t *testing.T, client service.Service, useSeed bool) kmsv2.State {
	t.Helper()
	transformer, object, cacheKey, err := kmsv2.GenerateTransformer(context.Background(), callUID, client, useSeed)
	if err != nil {
		t.Fatal(err)
	}
	return kmsv2.State{
		Transformer:                           transformer,
		EncryptedObjectKeyID:                  object.KeyID,
		EncryptedObjectEncryptedDEKSource:     object.EncryptedDEKSource,
		EncryptedObjectAnnotations:            object.Annotations,
		EncryptedObjectEncryptedDEKSourceType: object.EncryptedDEKSourceType,
		UID:                                   callUID,
		ExpirationTimestamp:                   time.Now().Add(time.Hour),
		CacheKey:                              cacheKey,
	}
}

// newTransformer is what kube-apiserver puts between itself and etcd; each has a cache of its own.
func newTransformer(client service.Service, state kmsv2.State) value.Transformer {
	current := func() (kmsv2.State, error) { return state, nil }
	envelope := kmsv2.NewEnvelopeTransformer(client, "keyturn", current, "apiserver-test")
	return value.NewPrefixTransformers(nil, value.PrefixTransformer{Prefix: []byte(storedPrefix), Transformer: envelope})
}

type stored struct {
	key   value.DefaultContext
	plain []byte
	value []byte
}

func storeObjects(t *testing.T, transformer value.Transformer, n int) []stored {
	t.Helper()
	objects := make([]stored, n)
	for i := range objects {
		key := value.DefaultContext(fmt.Sprintf("/registry/secrets/default/s%d", i))
		plain := randomBytes(i)
		out, err := transformer.TransformToStorage(context.Background(), plain, key)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		objects[i] = stored{key, plain, out}
	}
	return objects
}

func mustReadBack(t *testing.T, transformer value.Transformer, objects []stored) {
	t.Helper()
	for _, object := range objects {
		plain, stale, err := transformer.TransformFromStorage(context.Background(), object.value, object.key)
		if err != nil || !bytes.Equal(plain, object.plain) {
			t.Fatalf("%s does not come back: %v", object.key, err)
		}
		if stale {
			t.Fatalf("%s is stale", object.key)
		}
	}
}

func parseStored(t *testing.T, data []byte) *kmstypes.EncryptedObject {
	t.Helper()
	rest, found := bytes.CutPrefix(data, []byte(storedPrefix))
	if !found {
		t.Fatalf("the stored value does not begin with %s", storedPrefix)
	}
	object := &kmstypes.EncryptedObject{}
	if err := proto.Unmarshal(rest, object); err != nil {
		t.Fatal(err)
	}
	if err := kmsv2.ValidateEncryptedObject(object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestEnvelope(t *testing.T) {
	for name, useSeed := range map[string]bool{"seed": true, "DEK": false} {
		t.Run(name, func(t *testing.T) {
			writer := kubeClient(t)
			state := newState(t, writer, useSeed)
			objects := storeObjects(t, newTransformer(writer, state), 1000)

			keyID := mustStatus(t, writer).KeyID
			for _, object := range objects {
				if got := parseStored(t, object.value).KeyID; got != keyID {
					t.Fatalf("stored under key_id %q, Status says %q", got, keyID)
				}
			}
			mustReadBack(t, newTransformer(writer, state), objects)

			// Another API server, which has to ask the plugin for the seed, and asks once.
			reader := &countingService{Service: kubeClient(t)}
			mustReadBack(t, newTransformer(reader, state), objects)
			if got := reader.decrypts.Load(); got != 1 {
				t.Errorf("1000 objects of one seed took %d Decrypts", got)
			}
		})
	}
}

func TestEnvelopeOfAnotherObject(t *testing.T) {
	client := kubeClient(t)
	state := newState(t, client, true)
	objects := storeObjects(t, newTransformer(client, state), 2)
	_, _, err := newTransformer(client, state).TransformFromStorage(context.Background(), objects[0].value, objects[1].key)
	if err == nil {
		t.Fatal("the value of one object is accepted as that of another")
	}
}

// A stored value is in the hands of whoever can write to etcd.
func TestEnvelopeTampered(t *testing.T) {
	client := kubeClient(t)
	state := newState(t, client, true)
	object := storeObjects(t, newTransformer(client, state), 100)[99]
	read := func(change func(*kmstypes.EncryptedObject)) error {
		parsed := parseStored(t, object.value)
		change(parsed)
		data, err := proto.Marshal(parsed)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = newTransformer(client, state).TransformFromStorage(
			context.Background(), append([]byte(storedPrefix), data...), object.key)
		return err
	}
	if err := read(func(*kmstypes.EncryptedObject) {}); err != nil {
		t.Fatalf("what was not changed does not come back: %v", err)
	}
	for name, change := range map[string]func(*kmstypes.EncryptedObject){
		"data": func(o *kmstypes.EncryptedObject) { o.EncryptedData[len(o.EncryptedData)/2] ^= 1 },
		"seed": func(o *kmstypes.EncryptedObject) { o.EncryptedDEKSource[len(o.EncryptedDEKSource)/2] ^= 1 },
		"seed's kind": func(o *kmstypes.EncryptedObject) {
			o.EncryptedDEKSourceType = kmstypes.EncryptedDEKSourceType_AES_GCM_KEY
		},
		"key_id": func(o *kmstypes.EncryptedObject) { o.KeyID += "x" },
		"annotations": func(o *kmstypes.EncryptedObject) {
			if o.Annotations == nil {
				o.Annotations = map[string][]byte{}
			}
			o.Annotations["added.example.com"] = []byte("value")
		},
	} {
		if read(change) == nil {
			t.Errorf("accepted with other %s", name)
		}
	}
}
