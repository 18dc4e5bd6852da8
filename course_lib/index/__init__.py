"""Vector indexes: where item vectors are kept, and searched by user vectors; one engine a file."""

from course_lib.index.base import VectorIndex as VectorIndex
from course_lib.index.faiss import FaissIndex as FaissIndex
from course_lib.index.hnswlib import HnswlibIndex as HnswlibIndex
from course_lib.index.milvus import MilvusIndex as MilvusIndex
