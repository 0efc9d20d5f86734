//! Small dense matrices, slow and plain: the reference that results are held to.

/// Unit roundoff.
pub const EPS64: f64 = f64::EPSILON / 2.0;
pub const EPS32: f64 = f32::EPSILON as f64 / 2.0;

/// Row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub rows: usize,
    pub cols: usize,
    pub data: Vec<f64>,
}

impl Matrix {
    pub fn from_fn(rows: usize, cols: usize, mut element: impl FnMut(usize, usize) -> f64) -> Matrix {
        let data = (0..rows * cols).map(|at| element(at / cols, at % cols)).collect();
        Matrix { rows, cols, data }
    }

    pub fn zeros(rows: usize, cols: usize) -> Matrix {
        Matrix { rows, cols, data: vec![0.0; rows * cols] }
    }

    pub fn identity(n: usize) -> Matrix {
        Matrix::from_fn(n, n, |i, j| f64::from(i == j))
    }

    /// Independent standard normal elements.
    pub fn gaussian(rows: usize, cols: usize, seed: u64) -> Matrix {
        let mut random = Random(seed);
        Matrix::from_fn(rows, cols, |_, _| random.normal())
    }

    /// Random orthonormal columns: Gram–Schmidt, twice.
    pub fn orthonormal(rows: usize, cols: usize, seed: u64) -> Matrix {
        assert!(cols <= rows);
        let mut q = Matrix::gaussian(cols, rows, seed); // a column a row
        for j in 0..cols {
            for _ in 0..2 {
                for i in 0..j {
                    let along = dot(q.row(i), q.row(j));
                    for x in 0..rows {
                        q.data[j * rows + x] -= along * q.data[i * rows + x];
                    }
                }
            }
            let norm = dot(q.row(j), q.row(j)).sqrt();
            q.data[j * rows..(j + 1) * rows].iter_mut().for_each(|x| *x /= norm);
        }
        q.t()
    }

    /// A random matrix with these singular values.
    pub fn with_spectrum(rows: usize, cols: usize, sigma: impl Fn(usize) -> f64, seed: u64) -> Matrix {
        let k = rows.min(cols);
        let u = Matrix::orthonormal(rows, k, seed);
        let v = Matrix::orthonormal(cols, k, seed + 1);
        Matrix::from_fn(rows, k, |i, j| u.at(i, j) * sigma(j)).times(&v.t())
    }

    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.data[i * self.cols + j]
    }

    pub fn row(&self, i: usize) -> &[f64] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }

    pub fn t(&self) -> Matrix {
        Matrix::from_fn(self.cols, self.rows, |i, j| self.at(j, i))
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Matrix {
        Matrix { data: self.data.iter().map(|&x| f(x)).collect(), ..*self }
    }

    pub fn minus(&self, other: &Matrix) -> Matrix {
        assert_eq!((self.rows, self.cols), (other.rows, other.cols));
        Matrix::from_fn(self.rows, self.cols, |i, j| self.at(i, j) - other.at(i, j))
    }

    /// The product, each element as if summed in twice the precision.
    pub fn times(&self, other: &Matrix) -> Matrix {
        assert_eq!(self.cols, other.rows);
        let columns = other.t();
        Matrix::from_fn(self.rows, other.cols, |i, j| dot(self.row(i), columns.row(j)))
    }

    /// The rows of all, one below the other.
    pub fn stacked(parts: &[Matrix]) -> Matrix {
        let data: Vec<f64> = parts.iter().flat_map(|part| part.data.iter().copied()).collect();
        Matrix { rows: parts.iter().map(|part| part.rows).sum(), cols: parts[0].cols, data }
    }

    pub fn max_abs(&self) -> f64 {
        self.data.iter().fold(0.0, |max: f64, x| if x.is_nan() { f64::NAN } else { max.max(x.abs()) })
    }

    /// The 2-norm.
    pub fn norm(&self) -> f64 {
        self.singular_values().first().copied().unwrap_or(0.0)
    }

    /// Largest element of `|AᵀA − I|`.
    pub fn orthogonality_error(&self) -> f64 {
        self.t().times(self).minus(&Matrix::identity(self.cols)).max_abs()
    }

    /// Descending, by one-sided Jacobi on the columns (or rows, if these are fewer), which is accurate for small ones
    /// too.
    pub fn singular_values(&self) -> Vec<f64> {
        let scale = power_of_two(self.max_abs());
        let mut columns = if self.rows >= self.cols { self.t() } else { self.clone() };
        columns.data.iter_mut().for_each(|x| *x /= scale);
        let n = columns.rows;
        for _ in 0..60 {
            let mut rotated = false;
            for p in 0..n {
                for q in p + 1..n {
                    rotated |= rotate(&mut columns, p, q);
                }
            }
            if !rotated {
                break;
            }
        }
        let mut sigma: Vec<f64> =
            (0..n).map(|i| dot(columns.row(i), columns.row(i)).sqrt() * scale).collect();
        sigma.sort_by(|a, b| b.total_cmp(a));
        sigma
    }
}

/// Makes rows p and q orthogonal to each other; false if they were.
fn rotate(a: &mut Matrix, p: usize, q: usize) -> bool {
    let (pp, qq, pq) = (dot(a.row(p), a.row(p)), dot(a.row(q), a.row(q)), dot(a.row(p), a.row(q)));
    if pq == 0.0 || pq.abs() <= 1e-15 * (pp * qq).sqrt() {
        return false;
    }
    let zeta = (qq - pp) / (2.0 * pq);
    let t = if zeta >= 0.0 { 1.0 } else { -1.0 } / (zeta.abs() + zeta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = c * t;
    for x in 0..a.cols {
        let (u, v) = (a.at(p, x), a.at(q, x));
        a.data[p * a.cols + x] = c * u - s * v;
        a.data[q * a.cols + x] = s * u + c * v;
    }
    true
}

/// A power of two near `x`, to divide by without rounding. Capped so that its inverse is a normal number.
pub fn power_of_two(x: f64) -> f64 {
    if x > 0.0 && x.is_finite() { x.log2().floor().clamp(-1022.0, 1022.0).exp2() } else { 1.0 }
}

/// The dot product as if in twice the precision, rounded once (Ogita, Rump, Oishi 2005).
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        let product = x * y;
        let total = sum + product;
        let back = total - sum;
        lost += x.mul_add(y, -product) + ((sum - (total - back)) + (product - back));
        sum = total;
    }
    sum + lost
}

/// SplitMix64 and Box–Muller.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
