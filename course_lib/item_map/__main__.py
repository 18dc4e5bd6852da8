"""`python -m course_lib.item_map`: make data/item_map.csv anew."""

from course_lib.item_map import DATA, make
from course_lib.online_retail import load_online_retail

if __name__ == "__main__":
    make(load_online_retail()).to_csv(DATA, index=False)
