def test_a(astronaut_face, hopper_face, two_faces, tiny_checkpoint, astronaut_path, hopper_path):
    import numpy as np
    from stylegan_swap.faces.detect import detect_faces
    for f in detect_faces(two_faces): print(f.box, f.found_by, f.score)
    for f in detect_faces(two_faces,thorough=True): print(f.box, f.found_by, f.score)
    from stylegan_swap import Swapper
    s=Swapper.from_pretrained(tiny_checkpoint)
    print(s(astronaut_path, hopper_path).image.size)
