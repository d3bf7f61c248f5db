"""boto3 against an S3 endpoint: python_sdk.py URL [CA-FILE]. The bucket "photos" is there.

Transfers of every size that takes another way, in every checksum and payload mode there is,
presigned URLs and forms, and deletions. It prints what it counted, and fails at the first
thing that is wrong.
"""
import hashlib
import io
import os
import sys
import tempfile
import urllib.request
import ssl

import boto3
import botocore
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

url, ca = sys.argv[1], (sys.argv[2:] + [""])[0]
bucket = "photos"
MIB = 1 << 20
data = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(11 * MIB // 32))
new = tuple(int(n) for n in botocore.__version__.split(".")[:2]) >= (1, 36)  # it sends checksums unasked
done = 0


def client(**options):
    if not new:
        options.pop("request_checksum_calculation", None)
        options.pop("response_checksum_validation", None)
    s3 = {"addressing_style": "path", "payload_signing_enabled": options.pop("signed", None)}
    config = Config(signature_version="s3v4", s3={k: v for k, v in s3.items() if v is not None},
                    retries={"max_attempts": 1}, **options)
    return boto3.client("s3", endpoint_url=url, region_name="auto", verify=ca or None, config=config)


def check(what, ok, got=None):
    global done
    done += 1
    if not ok:
        sys.exit(f"{what}: {got}")


def fails(what, code, call, **args):
    try:
        call(Bucket=bucket, **args)
    except ClientError as e:
        check(what, e.response["Error"]["Code"] == code, e)
    else:
        sys.exit(f"{what}: it did not fail with {code}")


def fetch(request):
    context = ssl.create_default_context(cafile=ca) if ca else None
    return urllib.request.urlopen(request, context=context, timeout=60)


transfer = TransferConfig(multipart_threshold=6 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
for signed in (None, True, False):
    for when in ("when_supported", "when_required") if new else ("",):
        c = client(signed=signed, request_checksum_calculation=when, response_checksum_validation=when)
        for size in (0, 1, 6 * MIB - 1, len(data)):
            key, body = f"modes/{signed}/{when}/{size}", data[:size]
            c.upload_fileobj(io.BytesIO(body), bucket, key, Config=transfer)
            out = io.BytesIO()
            c.download_fileobj(bucket, key, out, Config=transfer)
            check(key, out.getvalue() == body, len(out.getvalue()))

c = client()
algorithms = ["CRC32", "SHA1", "SHA256"]
try:
    import awscrt  # noqa: F401
    algorithms += ["CRC32C", "CRC64NVME"]
except ImportError:
    pass
with tempfile.TemporaryDirectory() as scratch:
    for algorithm in algorithms:
        for size in (1000, len(data)):
            key, name = f"sums/{algorithm}/{size}", os.path.join(scratch, "f")
            with open(name, "wb") as f:
                f.write(data[:size])
            c.upload_file(name, bucket, key, ExtraArgs={"ChecksumAlgorithm": algorithm}, Config=transfer)
            head = c.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            check(key, head.get("Checksum" + algorithm), head)
            got = c.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")["Body"].read()
            check(key, got == data[:size], len(got))
            about = c.get_object_attributes(Bucket=bucket, Key=key, ObjectAttributes=["Checksum", "ObjectParts", "ObjectSize"])
            check(key, about["ObjectSize"] == size and about["Checksum"]["Checksum" + algorithm], about)
            if size > 6 * MIB:
                parts = about["ObjectParts"]["Parts"]
                check(key, len(parts) == 3 and all(p["Checksum" + algorithm] for p in parts), about)

# A file-like of unknown length; copies, in parts too; a range.
class Pipe(io.RawIOBase):
    def __init__(self, content):
        self.rest = content

    def readable(self):
        return True

    def read(self, n=-1):
        n = len(self.rest) if n < 0 else n
        out, self.rest = self.rest[:n], self.rest[n:]
        return out


c.upload_fileobj(Pipe(data), bucket, "pipe", Config=transfer)
c.copy({"Bucket": bucket, "Key": "pipe"}, bucket, "copied", Config=transfer)
check("copied", c.get_object(Bucket=bucket, Key="copied")["Body"].read() == data)
check("range", c.get_object(Bucket=bucket, Key="pipe", Range="bytes=100-199")["Body"].read() == data[100:200])
check("part", c.get_object(Bucket=bucket, Key="pipe", PartNumber=3)["Body"].read() == data[10 * MIB:])

# Conditions, metadata, tags.
put = c.put_object(Bucket=bucket, Key="a", Body=b"1", Metadata={"album": "x"}, CacheControl="max-age=1", Tagging="k=v")
fails("If-None-Match", "PreconditionFailed", client().put_object, Key="a", Body=b"2", **({"IfNoneMatch": "*"} if new else {"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="})) if new else None
head = c.head_object(Bucket=bucket, Key="a")
check("metadata", head["Metadata"] == {"album": "x"} and head["CacheControl"] == "max-age=1", head)
check("tags", c.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "k", "Value": "v"}])
fails("ACL", "NotImplemented", c.put_object_acl, Key="a", ACL="private")

# Presigned URLs, and a form.
get = c.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a"}, ExpiresIn=60)
check("presigned GET", fetch(get).read() == b"1")
to = c.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "é +%"}, ExpiresIn=60)
check("presigned PUT", fetch(urllib.request.Request(to, data=b"put", method="PUT")).status == 200)
check("presigned PUT", c.get_object(Bucket=bucket, Key="é +%")["Body"].read() == b"put")
form = c.generate_presigned_post(bucket, "form/${filename}", Conditions=[["content-length-range", 1, 10], {"success_action_status": "201"}],
                                 Fields={"success_action_status": "201"}, ExpiresIn=60)
text = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in form["fields"].items())
text += '--b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\nposted\r\n--b--\r\n'
answer = fetch(urllib.request.Request(form["url"], data=text.encode(), headers={"Content-Type": "multipart/form-data; boundary=b"}))
check("form", answer.status == 201 and c.get_object(Bucket=bucket, Key="form/f.txt")["Body"].read() == b"posted")

# Listings, versions, deletions.
keys = [o["Key"] for p in c.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7}) for o in p.get("Contents", [])]
check("keys", keys == sorted(keys) and len(keys) == len(set(keys)) and "é +%" in keys, keys)
c.put_object(Bucket=bucket, Key="a", Body=b"2")
versions = c.list_object_versions(Bucket=bucket, Prefix="a")["Versions"]
check("versions", len(versions) == 2 and versions[1]["VersionId"] == put["VersionId"], versions)
check("old version", c.get_object(Bucket=bucket, Key="a", VersionId=put["VersionId"])["Body"].read() == b"1")
gone = c.delete_object(Bucket=bucket, Key="a")
check("delete marker", gone["DeleteMarker"] and gone["VersionId"], gone)
fails("deleted", "NoSuchKey", c.get_object, Key="a")
back = c.delete_object(Bucket=bucket, Key="a", VersionId=gone["VersionId"])
check("marker deleted", back["DeleteMarker"] and c.get_object(Bucket=bucket, Key="a")["Body"].read() == b"2", back)
out = c.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in keys]})
check("delete", len(out["Deleted"]) == len(keys) and not out.get("Errors"), out)
check("empty", c.list_objects_v2(Bucket=bucket)["KeyCount"] == 0)
print(f"boto3 {boto3.__version__}, botocore {botocore.__version__}: {done} checks; checksums {' '.join(algorithms)}")
